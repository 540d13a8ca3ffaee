"""What makes vectors of texts, and how vectors are kept: one signed byte a dimension."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Embedder(Protocol):
    """A model that gives texts of like meaning like directions."""

    @property
    def name(self) -> str:
        """Name and version, at most 64 characters; vectors of two names are never compared."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return one row of length 1 for each text."""
        ...


def packed(vectors: Floats) -> list[bytes]:
    """Return each row as signed bytes, its largest number as ±127; only its direction is kept."""
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.float32(1e-12))
    return [row.tobytes() for row in np.rint(vectors / largest * 127).astype(np.int8)]


def unpacked(rows: Sequence[bytes | None], dimensions: int) -> Floats:
    """Return packed rows as vectors of length 1; None as zeros, which are like nothing."""
    vectors = np.zeros((len(rows), dimensions), np.float32)
    present = [place for place, row in enumerate(rows) if row is not None]
    if present:
        joined = b"".join(row for row in rows if row is not None)
        found = np.frombuffer(joined, np.int8).reshape(-1, dimensions).astype(np.float32)
        vectors[present] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return vectors
