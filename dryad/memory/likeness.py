"""Find texts that are almost the same: candidates by MinHash, each verified on the texts.

Source:
    Broder, 1997; banding as in Leskovec et al., Mining of Massive Datasets, chapter 3.
"""

import re
import struct
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

PERMUTATIONS = 64
BANDS = 16
"""Of four hashes each: texts half alike share a band more often than not."""

LEAST = 0.7
"""Share of common shingles from which on two texts are called near-duplicates."""

_SHINGLE = 5
_SEED = 20_260_101
_WORDS = re.compile(r"[^\W_]+")


def shingles(text: str) -> frozenset[str]:
    """Return every run of five characters of the text's words; case and punctuation aside."""
    flat = " ".join(_WORDS.findall(text.casefold()))
    if len(flat) <= _SHINGLE:
        return frozenset([flat] if flat else [])
    return frozenset(flat[start : start + _SHINGLE] for start in range(len(flat) - _SHINGLE + 1))


def bands(of: frozenset[str]) -> list[int]:
    """Return the keys, 63 bits each, of which near-duplicates share at least one."""
    if not of:
        return []
    import rensa  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

    library: Any = rensa
    hasher = library.RMinHash(num_perm=PERMUTATIONS, seed=_SEED)
    hasher.update(sorted(of))
    digest: list[int] = hasher.digest()
    rows = PERMUTATIONS // BANDS
    return [_key(band, digest[band * rows : (band + 1) * rows]) for band in range(BANDS)]


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of shingles that both have, in [0, 1]."""
    if not one or not other:
        return 0.0
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def _key(band: int, hashes: Iterable[int]) -> int:
    packed = struct.pack(f"<{PERMUTATIONS // BANDS + 1}I", band, *hashes)
    return int.from_bytes(blake2b(packed, digest_size=8).digest()) >> 1
