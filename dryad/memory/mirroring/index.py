"""The vectors of long-term memory copied into a server, which names candidates for a search.

The ledger has the last word: what the copy names is scored by the ledger's own vectors, with what
was shelved since and the passages that share words with the query. So a stale or missing row in the
copy can at worst be a candidate too many or one too few.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import cast

import numpy as np
from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session

from dryad.foundation import logs
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import DocumentRow, PassageRow, ShelfRow
from dryad.foundation.errors import Unavailable
from dryad.foundation.ids import TenantId
from dryad.memory.among import Among, Numbers
from dryad.memory.index.port import Vector, VectorIndex
from dryad.memory.mirroring.states import Differences, State, States
from dryad.memory.shelf import Shelf
from dryad.memory.vectors import Embedder, Floats, unpacked

BATCH = 1_000
MOST_YOUNG = 2_000
"""With more passages than this that the copy has not yet seen, the ledger's own are searched."""

CANDIDATES = 200
"""Passages looked at for their meaning, and as many for their words; at least the limit."""

_SAME = 0.9999
"""Cosine from which on two directions are the same: numbers travel as decimals."""

_PASSAGES = cast("Table", PassageRow.__table__).c
_VECTORS = select(_PASSAGES.number, _PASSAGES.vector).where(
    _PASSAGES.tenant == bindparam("tenant"),
    _PASSAGES.number.in_(bindparam("numbers", expanding=True)),
    _PASSAGES.embedder == bindparam("embedder"),
)

log = logs.get_logger("librarian")


class IndexCopy:
    """The copy of long-term memory's vectors, as one process sees it."""

    def __init__(
        self,
        database: Database,
        index: VectorIndex,
        embedder: Embedder,
        *,
        clock: Clock = utc_now,
        pause: timedelta = timedelta(seconds=5),
        late: timedelta = timedelta(seconds=30),
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            database: The ledger.
            index: The server with the copy.
            embedder: Whose vectors are copied.
            clock: Tells the time.
            pause: How long a server that did not answer is not asked again.
            late: A removal is made again after this: a writer may have been late with what was
                removed.
        """
        self.states = States(database, "index", clock=clock)
        self.missing = ""
        """Why the newest search went without it; '' when it did not."""
        self._database = database
        self._index = index
        self._embedder = embedder
        self._pause = pause.total_seconds()
        self._late = late
        self._paused_until = 0.0
        self._lost = False

    # -- readers

    def cosines(
        self,
        session: Session,
        tenant: TenantId,
        shelf: Shelf,
        words: Sequence[int],
        direction: Floats,
        *,
        among: Among,
    ) -> Mapping[int, float] | None:
        """Return how like the query every candidate is, by number; None: ask the ledger alone."""
        if time.monotonic() < self._paused_until:
            return None
        mirrored = session.scalar(select(ShelfRow.mirrored).where(ShelfRow.tenant == tenant)) or 0
        young = shelf.numbers[np.searchsorted(shelf.numbers, mirrored, side="right") :]
        state = self.states.within(session)
        if state.trusted != self._embedder.name or len(young) > MOST_YOUNG:
            self.missing = "the copy in Chroma is being made"
            return None
        try:
            near = self._index.nearest(
                state.generation, tenant, direction, limit=CANDIDATES, **among.filters
            )
        except Unavailable as reason:
            self._broken(reason)
            return None
        self.missing = ""
        alike = (hit.number for hit in shelf.rank(words, limit=CANDIDATES, **among.filters))
        living = set(shelf.numbers.tolist())
        wanted = {*alike, *young.tolist(), *(number for number in near if number in living)}
        return _cosines(session, tenant, wanted, direction, model=self._embedder)

    def finds(self, tenant: TenantId, passage: PassageRow) -> bool:
        """Tell whether the copy, asked for a passage's own vector, names it, or one as near.

        True for a passage without a vector of the copy's model: it has no business there.

        Raises:
            Unavailable: the server does not answer.
        """
        if passage.embedder != self._embedder.name:
            return True
        direction = unpacked([passage.vector], self._embedder.dimensions)[0]
        near = self._index.nearest(self.states.read().generation, tenant, direction, limit=10)
        with self._database.reading() as session:
            cosines = _cosines(session, tenant, near, direction, model=self._embedder)
        return passage.number in near or max(cosines.values(), default=0.0) >= _SAME

    def told(
        self,
        session: Session,
        tenant: TenantId,
        shelf: Shelf,
        numbers: Numbers,
        direction: Floats,
    ) -> Mapping[int, float]:
        """Return how like the query those passages are that the ledger alone can name."""
        wanted = np.intersect1d(shelf.numbers, numbers).tolist()
        return _cosines(session, tenant, wanted, direction, model=self._embedder)

    # -- writers

    def follow(self, tenant: TenantId) -> None:
        """Bring what was just written to the copy, once; the keeper brings what this could not."""
        if time.monotonic() < self._paused_until:
            return
        try:
            state = self.states.read()
            if state.trusted == self._embedder.name:
                self._advance(state, tenant)
        except Unavailable as reason:
            self._broken(reason)

    def taken(self, session: Session, shelf: ShelfRow, document: str) -> None:
        """Note, in the transaction that takes a document away, that the copy must lose it too."""
        self.states.add(session, tenant=shelf.tenant, owner="", key=document, number=shelf.written)

    def remove(self, tenant: TenantId, document: str, *, upto: int) -> None:
        """Take a document's passages out of the copy now, if it answers."""
        try:
            state = self.states.read()
            if state.trusted == self._embedder.name:
                self._index.remove(state.generation, tenant, document, upto=upto)
        except Unavailable as reason:
            self._broken(reason)

    # -- the keeper

    def keep(self) -> None:
        """Bring everything to the copy that it has yet to see; make one where there is none.

        Raises:
            Unavailable: the server does not answer; that is told once, until it answers again.
        """
        try:
            self._kept()
        except Unavailable as reason:
            if not self._lost:
                log.error("mirror_lost", mirror="index", reason=reason.message)  # noqa: TRY400 - structured
            self._lost = True
            raise
        if self._lost:
            log.info("mirror_found", mirror="index")
        self._lost = False

    def _kept(self) -> None:
        state = self.states.read()
        there = self._index.generations()
        if state.trusted != self._embedder.name or state.generation not in there:
            if state.trusted:
                log.error("mirror_lost", mirror="index", generation=state.generation)
            state = self._renew(state)
        for tenant in self._behind():
            while self._advance(state, tenant):
                pass
        self._relay_removals(state)

    def trouble(self) -> str:
        """Return why searches go without the copy now; '' when they do not."""
        try:
            there = self._index.generations()
        except Unavailable as reason:
            return reason.message
        state = self.states.read()
        if state.trusted != self._embedder.name or state.generation not in there:
            return "the copy in Chroma is being made"
        behind = len(self._behind())
        return f"{behind} tenants have passages that it has yet to see" if behind else ""

    def check(self) -> Differences:
        """Compare the copy with the ledger, tenant by tenant, and mend what differs.

        Raises:
            Unavailable: the server does not answer.
        """
        self.keep()
        state = self.states.read()
        with self._database.reading() as session:
            tenants = session.scalars(select(ShelfRow.tenant)).all()
        found = [self._compare(state, TenantId(tenant)) for tenant in tenants]
        total = Differences(
            checked=sum(one.checked for one in found),
            missing=sum(one.missing for one in found),
            extra=sum(one.extra for one in found),
            stale=sum(one.stale for one in found),
        )
        if total.found:
            log.error("mirror_differed", mirror="index", differences=total.found)
        return total

    def _compare(self, state: State, tenant: TenantId) -> Differences:
        """Compare passage by passage, labels and directions included, and mend what differs."""
        with self._database.reading() as session:
            mirrored = session.scalar(select(ShelfRow.mirrored).where(ShelfRow.tenant == tenant))
        checked = missing = stale = after = 0
        while batch := self._batch(tenant, after=after, upto=mirrored or 0, limit=BATCH):
            after = batch[-1].number
            there = self._index.rows(state.generation, tenant, [row.number for row in batch])
            held = {row.number: row for row in there}
            absent = [row for row in batch if row.number not in held]
            wrong = [row for row in batch if row.number in held and _differ(row, held[row.number])]
            if absent or wrong:
                self._index.upsert(state.generation, tenant, [*absent, *wrong])
            checked += len(batch)
            missing += len(absent)
            stale += len(wrong)
        extra = self._extra(self._index.held(state.generation, tenant), tenant)
        self._index.discard(state.generation, tenant, extra)
        return Differences(checked, missing, len(extra), stale)

    def _extra(self, held: Collection[int], tenant: TenantId) -> list[int]:
        """Return what the ledger does not have, or has no more, or not of this model."""
        with self._database.reading() as session:
            living = session.scalars(
                select(PassageRow.number)
                .join(DocumentRow, DocumentRow.id == PassageRow.document)
                .where(
                    PassageRow.tenant == tenant,
                    PassageRow.embedder == self._embedder.name,
                    DocumentRow.deleted.is_(None),
                )
            )
            return sorted({*held} - {*living})

    def _batch(self, tenant: TenantId, *, after: int, upto: int, limit: int) -> list[Vector]:
        with self._database.reading() as session:
            return self._rows(session, tenant, after=after, upto=upto, limit=limit)

    def _renew(self, before: State) -> State:
        generation = before.generation + 1
        self._index.create(generation)
        with self._database.transaction() as session:
            state = self.states.change_within(
                session, lambda _now: State(generation, self._embedder.name)
            )
            session.execute(update(ShelfRow).values(mirrored=0))
        self._index.drop_others(generation)
        log.info("mirror_made", mirror="index", generation=generation)
        return state

    def _behind(self) -> list[TenantId]:
        with self._database.reading() as session:
            query = select(ShelfRow.tenant).where(ShelfRow.mirrored < ShelfRow.written)
            return [TenantId(tenant) for tenant in session.scalars(query)]

    def _advance(self, state: State, tenant: TenantId) -> bool:
        """Bring one batch of a tenant's passages to the copy; return whether there may be more."""
        with self._database.reading() as session:
            shelf = session.get_one(ShelfRow, tenant)
            before, written = shelf.mirrored, shelf.written
            rows = self._rows(session, tenant, after=before, upto=written, limit=BATCH)
        upto = rows[-1].number if len(rows) == BATCH else written
        if upto == before:
            return False
        if rows:
            self._index.upsert(state.generation, tenant, rows)
        with self._database.transaction() as session:
            if self.states.within(session, hold="share") != state:
                return False  # another copy was begun meanwhile
            session.execute(
                update(ShelfRow)
                .where(ShelfRow.tenant == tenant, ShelfRow.mirrored == before)
                .values(mirrored=upto)
            )
        return upto < written

    def _rows(
        self, session: Session, tenant: TenantId, *, after: int, upto: int, limit: int
    ) -> list[Vector]:
        found = session.execute(
            select(
                PassageRow.number,
                PassageRow.document,
                DocumentRow.category,
                DocumentRow.agent,
                PassageRow.vector,
            )
            .join(DocumentRow, DocumentRow.id == PassageRow.document)
            .where(
                PassageRow.tenant == tenant,
                PassageRow.number > after,
                PassageRow.number <= upto,
                PassageRow.embedder == self._embedder.name,
                DocumentRow.deleted.is_(None),
            )
            .order_by(PassageRow.number)
            .limit(limit)
        ).all()
        directions = unpacked([row[4] for row in found], self._embedder.dimensions)
        return [
            Vector(number, document, category, agent, direction)
            for (number, document, category, agent, _), direction in zip(
                found, directions, strict=True
            )
        ]

    def _relay_removals(self, state: State) -> None:
        while True:
            with self._database.reading() as session:
                rows = self.states.pending(session, before=self.states.clock() - self._late)
            if not rows:
                return
            for row in rows:
                self._index.remove(state.generation, TenantId(row.tenant), row.key, upto=row.number)
            with self._database.transaction() as session:
                self.states.seen(session, rows)

    def _broken(self, reason: Unavailable) -> None:
        self._paused_until = time.monotonic() + self._pause
        self.missing = reason.message
        log.warning("mirror_not_reached", mirror="index", reason=reason.message)


def _differ(wanted: Vector, held: Vector) -> bool:
    """Tell whether a row is labelled otherwise, or points elsewhere: another model's would."""
    if wanted[:-1] != held[:-1] or wanted.direction.shape != held.direction.shape:
        return True
    # Not `<`: a direction of no length is another one, too.
    return float(wanted.direction @ held.direction) <= _SAME * float(np.linalg.norm(held.direction))


def _cosines(
    session: Session,
    tenant: TenantId,
    numbers: Collection[int],
    direction: Floats,
    *,
    model: Embedder,
) -> dict[int, float]:
    asked, found = iter(numbers), dict[int, float]()
    while some := [*islice(asked, BATCH)]:  # nothing stays in memory, however many there are
        rows = session.execute(
            _VECTORS, {"tenant": tenant, "numbers": some, "embedder": model.name}
        ).all()
        cosines = unpacked([vector for _, vector in rows], model.dimensions) @ direction
        found.update(zip((number for number, _ in rows), cosines.tolist(), strict=True))
    return found
