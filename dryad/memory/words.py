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
_ASCII_WORD = re.compile(r"[a-z0-9]+")  # the same of lower-case ASCII, in half the time
# Scripts written without spaces: their runs are counted as overlapping pairs of characters.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")


_REMEMBERED = 20_000
"""Words whose numbers a thread remembers: a language uses few of its words most of the time."""

_LONGEST_REMEMBERED = 32


class _Numbers(dict[str, int]):
    """The number of every word: the CRC-32 of its stem."""

    def __init__(self) -> None:
        self._stemmer: Any = Stemmer("english", 0)  # what it would remember is here

    def __missing__(self, word: str) -> int:
        number = crc32(self._stemmer.stemWord(word).encode())
        if len(word) <= _LONGEST_REMEMBERED:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[word] = number
        return number


class _Local(threading.local):
    """The numbers of each thread: a stemmer must not be shared."""

    def __init__(self) -> None:
        self.numbers = _Numbers()


_local = _Local()


@dataclass(frozen=True)
class Bag:
    """The words of a text: `entries` as bytes of `ENTRY` rows, `length` how many there were."""

    entries: bytes
    length: int


def bag(text: str) -> Bag:
    """Count the words of `text`."""
    words = _words(text)
    counted = Counter(map(_local.numbers.__getitem__, words))
    entries = np.empty(len(counted), dtype=ENTRY)
    entries["term"] = np.fromiter(counted, np.uint32, len(counted))
    entries["count"] = np.minimum(np.fromiter(counted.values(), np.int64, len(counted)), 255)
    return Bag(entries.tobytes(), len(words))


def entries_of(bags: Iterable[bytes]) -> npt.NDArray[np.void]:
    """Return the `ENTRY` rows of many bags, one after another."""
    return np.frombuffer(b"".join(bags), dtype=ENTRY)


def terms(text: str) -> list[int]:
    """Return the number of every word in `text`, in order.

    Case, accents, width and English endings make no difference.
    """
    return [*map(_local.numbers.__getitem__, _words(text))]


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    # Few words of most texts are more than ASCII, and those take ten times as long.
    folded = " ".join(word.lower() if word.isascii() else _folded(word) for word in text.split())
    words = _WORD.findall(folded)
    return [part for word in words for part in ([word] if word.isascii() else _parts(word))]


def _folded(text: str) -> str:
    # Composed again at the end, or Hangul would stay in its letters.
    parts = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in parts if not _accent(c)))


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
