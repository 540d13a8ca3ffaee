"""Turn text into what is counted: word stems, each known by a 32-bit number."""

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
from Stemmer import Stemmer  # pyright: ignore[reportUnknownVariableType] - compiled, untyped

ENTRY = np.dtype([("term", "<u4"), ("count", "u1")])
"""One word of a stored bag: the CRC-32 of its stem in UTF-8, and how often it occurs, at most 255.

Changing this, or how words are found, makes stored bags stale: it needs a migration.
"""

_WORD = re.compile(r"[^\W_]+")
# Scripts written without spaces: their runs are counted as overlapping pairs of characters.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")


class _Local(threading.local):
    """A stemmer of each thread: it keeps a cache and must not be shared."""

    def __init__(self) -> None:
        self.stemmer: Any = Stemmer("english")


_local = _Local()


@dataclass(frozen=True)
class Bag:
    """The words of a text: `entries` as bytes of `ENTRY` rows, `length` how many there were."""

    entries: bytes
    length: int


def bag(text: str) -> Bag:
    """Count the words of `text`."""
    words = Counter(_words(text))  # first, so that a repeated word is stemmed once
    counted: dict[int, int] = {}
    for term, count in zip(_numbered([*words]), words.values(), strict=True):
        counted[term] = counted.get(term, 0) + count
    entries = np.empty(len(counted), dtype=ENTRY)
    entries["term"] = [*counted]
    entries["count"] = [min(count, 255) for count in counted.values()]
    return Bag(entries.tobytes(), words.total())


def entries_of(bags: Iterable[bytes]) -> npt.NDArray[np.void]:
    """Return the `ENTRY` rows of many bags, one after another."""
    return np.frombuffer(b"".join(bags), dtype=ENTRY)


def terms(text: str) -> list[int]:
    """Return the number of every word in `text`, in order.

    Case, accents, width and English endings make no difference.
    """
    return _numbered(_words(text))


def _words(text: str) -> list[str]:
    if text.isascii():
        return _WORD.findall(text.lower())
    # Few words of most texts are more than ASCII, and those take ten times as long.
    folded = " ".join(word.lower() if word.isascii() else _folded(word) for word in text.split())
    words = _WORD.findall(folded)
    return [part for word in words for part in ([word] if word.isascii() else _parts(word))]


def _folded(text: str) -> str:
    # Composed again at the end, or Hangul would stay in its letters.
    parts = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in parts if not _accent(c)))


def _numbered(words: list[str]) -> list[int]:
    return [crc32(stem.encode()) for stem in _local.stemmer.stemWords(words)]


def _accent(character: str) -> bool:
    return unicodedata.category(character) == "Mn"


def _parts(word: str) -> Iterator[str]:
    """Yield the spaced parts of a word whole, the unspaced ones by pairs of characters."""
    stop = 0
    for match in _UNSPACED.finditer(word):
        if match.start() > stop:
            yield word[stop : match.start()]
        run = match.group()
        yield from (a + b for a, b in pairwise(run)) if len(run) > 1 else run
        stop = match.end()
    if stop < len(word):
        yield word[stop:]
