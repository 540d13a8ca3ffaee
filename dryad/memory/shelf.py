"""One tenant's passages as arrays in memory, ranked exactly by BM25.

The ledger is the truth: a shelf is read from it, brought up to date before every search, and
dropped when memory is short. Both databases give the same ranking, whose statistics come from
the tenant's own passages alone.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast
from zlib import crc32

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Select, Table, bindparam, case, null, select
from sqlalchemy.orm import Session

from dryad.foundation.database.models import DocumentRow, PassageRow, ShelfRow
from dryad.foundation.errors import LimitExceeded
from dryad.foundation.ids import TenantId
from dryad.memory.fusion import fuse
from dryad.memory.vectors import Embedder, Floats, unpacked
from dryad.memory.words import entries_of

K1, B = 1.2, 0.75
"""BM25: how fast repeated words stop counting, and how much long passages are held back."""

FOLLOWING = 0.9
"""A document's second passage counts this much of its score, its third this much of that, so that
one document leaves room for others that are nearly as good.

Chosen on Cranfield and checked on XQuAD; see docs/decisions/0004-rank-in-memory.md.
"""

_LOOKED_AT = 5
"""Passages looked at for each that is returned, as what follows in its document steps back."""

_MERGE = 4  # a run is merged with the one before it unless that is this many times as long

_MOST_ROWS = 1 << 24

_FETCHED = 500
"""Rows held at once: fewer than make the collector of garbage begin."""

Keys = npt.NDArray[np.uint64]
"""Sorted postings: term (32 bits), row (24 bits), count (8 bits)."""


@dataclass(frozen=True)
class Ranked:
    """One hit: the passage number, its score > 0, and what the score is made of."""

    number: int
    score: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Shelf:
    """The passages of one tenant as they stood at (`written`, `removals`); never changed."""

    written: int
    removals: int
    numbers: npt.NDArray[np.int64]
    """Passage number of each row, ascending."""
    lengths: npt.NDArray[np.float32]
    documents: npt.NDArray[np.uint32]
    """CRC-32 of the id of each row's document."""
    category: npt.NDArray[np.int32]
    agent: npt.NDArray[np.int32]
    names: tuple[str, ...]
    """What the codes in `category` and `agent` stand for."""
    runs: tuple[Keys, ...]
    """Postings of all rows, in few sorted runs."""
    vectors: tuple[Floats, ...] = ()
    """Directions of all rows, in few blocks one after another; none without a model."""

    @property
    def size_bytes(self) -> int:
        """Memory held, in bytes."""
        columns = (self.numbers, self.lengths, self.documents, self.category, self.agent)
        return sum(array.nbytes for array in (*columns, *self.runs, *self.vectors))

    def rank(
        self,
        terms: Collection[int],
        *,
        limit: int,
        direction: Floats | None = None,
        cosines: Mapping[int, float] | None = None,
        category: str | None = None,
        agents: Collection[str] | None = None,
        numbers: npt.NDArray[np.int64] | None = None,
    ) -> list[Ranked]:
        """Return the best passages, best first, ties by number.

        What follows the best passage of its document counts less; see `FOLLOWING`.

        Args:
            terms: Words by number; a repeated word counts as often as it is repeated.
            limit: Most hits returned, > 0.
            direction: What the query means, of length 1; without it only words count.
            cosines: How like the query the passages of these numbers are, where that was found
                elsewhere; in place of `direction`.
            category: Only passages of this category.
            agents: Only passages of these owners.
            numbers: Only these passages.

        Source:
            Robertson & Zaragoza, 2009; the idf is Lucene's, which is never negative.
        """
        allowed = np.ones(len(self.numbers), dtype=bool)
        if category is not None:
            allowed &= self.category == self._code(category)
        if agents is not None:
            allowed &= np.isin(self.agent, [self._code(agent) for agent in agents])
        if numbers is not None:
            allowed &= np.isin(self.numbers, numbers)
        rows = np.flatnonzero(allowed)
        by_word = self._scores(terms)[rows]
        cosine = self._cosines(direction, cosines)
        if cosine is None:
            scores, parts = by_word, {"bm25": by_word}
        else:
            scores, word, meaning = fuse(by_word, cosine[rows].astype(np.float64))
            parts = {"words": word, "meaning": meaning}
        best = _top(scores, _LOOKED_AT * limit)
        weights = _weights(self.documents[rows[best]].tolist())
        order = np.argsort(-scores[best] * weights, kind="stable")[:limit]
        return [
            Ranked(
                int(self.numbers[rows[place]]),
                float(scores[place] * weight),
                {name: float(part[place] * weight) for name, part in parts.items()},
            )
            for place, weight in zip(best[order], weights[order], strict=True)
        ]

    def _cosines(
        self, direction: Floats | None, known: Mapping[int, float] | None
    ) -> Floats | None:
        """Return how like the query each row is; 0 where nobody knows."""
        if known is not None:
            cosine = np.zeros(len(self.numbers), np.float32)
            rows = np.searchsorted(self.numbers, np.array([*known], np.int64))
            cosine[rows] = [*known.values()]
            return cosine
        if direction is None or not self.vectors:
            return None
        return np.concatenate([block @ direction for block in self.vectors])

    def _scores(self, terms: Collection[int]) -> npt.NDArray[np.float64]:
        rows = len(self.numbers)
        scores = np.zeros(rows)
        if not rows:
            return scores
        damping = K1 * (1 - B + B * self.lengths / max(float(self.lengths.mean()), 1e-9))
        for term, times in Counter(terms).items():
            found = [_postings(run, term) for run in self.runs]
            frequency = sum(len(postings) for postings in found)
            idf = np.log1p((rows - frequency + 0.5) / (frequency + 0.5))
            for postings in found:
                row = ((postings >> np.uint64(8)) & np.uint64(0xFFFFFF)).astype(np.intp)
                count = (postings & np.uint64(0xFF)).astype(np.float32)
                scores[row] += times * idf * (K1 + 1) * count / (count + damping[row])
        return scores

    def _code(self, name: str) -> int:
        return self.names.index(name) if name in self.names else -1


EMPTY = Shelf(
    written=0,
    removals=0,
    numbers=np.empty(0, np.int64),
    lengths=np.empty(0, np.float32),
    documents=np.empty(0, np.uint32),
    category=np.empty(0, np.int32),
    agent=np.empty(0, np.int32),
    names=(),
    runs=(),
)


_DOCUMENTS = cast("Table", DocumentRow.__table__).c
_PASSAGES = cast("Table", PassageRow.__table__).c
# Of the table, not the class: the first query by class prepares every class there is.
_SHELVES = cast("Table", ShelfRow.__table__).c
_STATE = select(_SHELVES.written, _SHELVES.removals).where(_SHELVES.tenant == bindparam("tenant"))


class Shelves:
    """The shelves of this process, by tenant: the least used leave when memory is short."""

    def __init__(
        self, *, resident_bytes: int = 128_000_000, embedder: Embedder | None = None
    ) -> None:
        self._limit = resident_bytes
        self._embedder = embedder
        self._shelves: OrderedDict[TenantId, Shelf] = OrderedDict()
        self._lock = threading.Lock()
        self._tenant_locks: dict[TenantId, threading.Lock] = {}

    def current(self, tenant: TenantId, session: Session) -> Shelf:
        """Return the tenant's shelf as the ledger holds it now."""
        row = session.execute(_STATE, {"tenant": tenant}).one_or_none()
        if row is None:
            return EMPTY
        written, removals = row
        with self._lock:
            lock = self._tenant_locks.setdefault(tenant, threading.Lock())
        with lock:
            with self._lock:
                shelf = self._shelves.get(tenant, EMPTY)
            if shelf.removals < removals:
                shelf = _without_removed(shelf, tenant, session, removals)
            if shelf.written < written:
                shelf = _with_added(shelf, tenant, session, written, self._embedder)
            self._keep(tenant, shelf)
        return shelf

    def _keep(self, tenant: TenantId, shelf: Shelf) -> None:
        with self._lock:
            self._shelves[tenant] = shelf
            self._shelves.move_to_end(tenant)
            held = sum(shelf.size_bytes for shelf in self._shelves.values())
            while held > self._limit and len(self._shelves) > 1:
                _, dropped = self._shelves.popitem(last=False)
                held -= dropped.size_bytes


def _with_added(
    shelf: Shelf, tenant: TenantId, session: Session, written: int, embedder: Embedder | None
) -> Shelf:
    """Read what was shelved since; numbers ascend in commit order, so nothing hides below."""
    columns = _columns(
        session,
        select(
            _PASSAGES.number,
            _PASSAGES.length,
            _PASSAGES.bag,
            _PASSAGES.document,
            _DOCUMENTS.category,
            _DOCUMENTS.agent,
            _vector_by(embedder),
        )
        .join_from(_PASSAGES.number.table, _DOCUMENTS.id.table, _DOCUMENTS.id == _PASSAGES.document)
        .where(
            _PASSAGES.tenant == tenant,
            _PASSAGES.number > shelf.written,
            _DOCUMENTS.deleted.is_(None),
        )
        .order_by(_PASSAGES.number),
    )
    if not columns:
        return replace(shelf, written=written)
    numbers, lengths, bags, documents, categories, agents, vectors = columns
    codes = {name: code for code, name in enumerate(shelf.names)}
    for name in (*categories, *agents):
        codes.setdefault(name, len(codes))
    return replace(
        shelf,
        # Under READ COMMITTED the rows may be newer than the number that was read before them.
        written=max(written, numbers[-1]),
        numbers=np.append(shelf.numbers, np.array(numbers, np.int64)),
        lengths=np.append(shelf.lengths, np.array(lengths, np.float32)),
        documents=np.append(shelf.documents, np.array([*map(_code, documents)], np.uint32)),
        category=np.append(shelf.category, np.array([codes[n] for n in categories], np.int32)),
        agent=np.append(shelf.agent, np.array([codes[n] for n in agents], np.int32)),
        names=tuple(codes),
        runs=_merged((*shelf.runs, _run(bags, first_row=len(shelf.numbers)))),
        vectors=_joined((*shelf.vectors, unpacked(vectors, embedder.dimensions)))
        if embedder
        else (),
    )


def _columns(session: Session, query: Select[Any]) -> list[list[Any]]:
    """Return the columns of all rows, as the driver gives them; no column when there is no row.

    What wraps a row costs as much as reading it, and many rows held at once as much again: they
    make the collector look through everything the process has.
    """
    cursor: Any = session.connection().execute(query).cursor
    columns: list[list[Any]] = []
    while rows := cursor.fetchmany(_FETCHED):
        columns = columns or [[] for _ in rows[0]]
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(values)
    return columns


def _without_removed(shelf: Shelf, tenant: TenantId, session: Session, removals: int) -> Shelf:
    """Drop every row whose passage is gone or whose document is withdrawn."""
    if not len(shelf.numbers):
        return replace(shelf, removals=removals)
    alive = session.scalars(
        select(PassageRow.number)
        .join(DocumentRow, DocumentRow.id == PassageRow.document)
        .where(PassageRow.tenant == tenant, DocumentRow.deleted.is_(None))
    ).all()
    kept = np.isin(shelf.numbers, np.array(alive, np.int64))
    moved = np.cumsum(kept) - 1
    runs: list[Keys] = []
    for run in shelf.runs:
        row = ((run >> np.uint64(8)) & np.uint64(0xFFFFFF)).astype(np.intp)
        lasting, row = run[kept[row]], row[kept[row]]
        cleared = lasting & ~np.uint64(0xFFFFFF00)
        runs.append(cleared | (moved[row].astype(np.uint64) << np.uint64(8)))
    return replace(
        shelf,
        removals=removals,
        numbers=shelf.numbers[kept],
        lengths=shelf.lengths[kept],
        documents=shelf.documents[kept],
        category=shelf.category[kept],
        agent=shelf.agent[kept],
        runs=tuple(runs),
        vectors=(np.concatenate(shelf.vectors)[kept],) if shelf.vectors else (),
    )


def _run(bags: Collection[bytes], *, first_row: int) -> Keys:
    if first_row + len(bags) > _MOST_ROWS:
        raise LimitExceeded(f"one tenant's long-term memory holds at most {_MOST_ROWS:,} passages")
    entries = entries_of(bags)
    size = entries.dtype.itemsize
    rows = np.repeat(
        np.arange(first_row, first_row + len(bags), dtype=np.uint64),
        [len(bag) // size for bag in bags],
    )
    keys = entries["term"].astype(np.uint64) << np.uint64(32)
    keys |= rows << np.uint64(8)
    keys |= entries["count"].astype(np.uint64)
    keys.sort()
    return keys


def _merged(runs: tuple[Keys, ...]) -> tuple[Keys, ...]:
    """Merge from the end while neighbours are of similar length: few runs, little sorting."""
    while len(runs) > 1 and len(runs[-2]) < _MERGE * len(runs[-1]):
        both = np.concatenate(runs[-2:])
        both.sort()
        runs = (*runs[:-2], both)
    return runs


def _joined(blocks: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """Join from the end while neighbours are of similar length: few blocks, little copying."""
    while len(blocks) > 1 and len(blocks[-2]) < _MERGE * len(blocks[-1]):
        blocks = (*blocks[:-2], np.concatenate(blocks[-2:]))
    return blocks


def _vector_by(embedder: Embedder | None) -> ColumnElement[Any]:
    """Select the vector where this model made it; vectors of two models mean different things."""
    if embedder is None:
        return null()
    return case((_PASSAGES.embedder == embedder.name, _PASSAGES.vector), else_=None)


def _postings(run: Keys, term: int) -> Keys:
    low = np.searchsorted(run, np.uint64(term << 32))
    high = np.searchsorted(run, np.uint64((term << 32) | 0xFFFFFFFF), side="right")
    return run[low:high]


def _code(document: str) -> int:
    return crc32(document.encode())


def _weights(documents: Iterable[int]) -> npt.NDArray[np.float64]:
    """Return how much each passage counts, given the documents of those from the best on."""
    before: Counter[int] = Counter()
    weights: list[float] = []
    for document in documents:
        weights.append(FOLLOWING ** before[document])
        before[document] += 1
    return np.array(weights)


def _top(scores: npt.NDArray[np.float64], limit: int) -> npt.NDArray[np.intp]:
    """Return the rows of the `limit` highest scores above 0; equal scores by row."""
    rows = np.flatnonzero(scores > 0)
    if len(rows) > limit:
        least = np.partition(scores[rows], len(rows) - limit)[len(rows) - limit]
        rows = rows[scores[rows] >= least]
    return rows[np.lexsort((rows, -scores[rows]))][:limit]
