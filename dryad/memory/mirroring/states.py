"""What the ledger knows about its mirrors: which copy is believed, and what it has yet to see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import MirrorRow, OutboxRow

MirrorName = Literal["recent", "index"]


@dataclass(frozen=True)
class State:
    """Which copy is believed; `trusted` '' is none, `generation` 0 was never made."""

    generation: int = 0
    trusted: str = ""
    reason: str = ""


def doubting(reason: str) -> Callable[[State], State]:
    """Return what lets nobody read a mirror until the keeper has made another copy."""
    return lambda state: State(state.generation, "", reason)


@dataclass(frozen=True)
class Differences:
    """What a mirror held otherwise than the ledger; all of it was mended."""

    checked: int = 0
    missing: int = 0
    extra: int = 0
    stale: int = 0

    @property
    def found(self) -> int:
        """How many there were."""
        return self.missing + self.extra + self.stale


class States:
    """The state of one mirror, shared by all processes."""

    def __init__(self, database: Database, name: MirrorName, *, clock: Clock = utc_now) -> None:
        self.database = database
        self.name: MirrorName = name
        self.clock = clock

    def read(self) -> State:
        """Return the state as the ledger holds it now."""
        with self.database.reading() as session:
            return self.within(session)

    def within(self, session: Session, *, hold: Literal["no", "share", "alone"] = "no") -> State:
        """Return the state as a transaction sees it, and keep it so until that ends.

        Args:
            session: The transaction.
            hold: `share`: nobody changes it meanwhile; `alone`: nobody else holds it either.
        """
        query = select(MirrorRow).where(MirrorRow.name == self.name)
        if hold == "alone":
            lock(session, f"mirror/{self.name}")
        if hold != "no":
            query = query.with_for_update(read=hold == "share")
        row = session.scalar(query.execution_options(populate_existing=True))
        return State() if row is None else State(row.generation, row.trusted, row.reason)

    def change(self, make: Callable[[State], State]) -> State:
        """Put `make(state)` in the place of the state, and return it."""
        with self.database.transaction() as session:
            return self.change_within(session, make)

    def change_within(self, session: Session, make: Callable[[State], State]) -> State:
        """Do what `change` does, in the caller's transaction."""
        before = self.within(session, hold="alone")
        after = make(before)
        if after != before:
            session.merge(
                MirrorRow(
                    name=self.name,
                    generation=after.generation,
                    trusted=after.trusted,
                    reason=after.reason,
                    changed=self.clock(),
                )
            )
            session.flush()
        return after

    def doubt(self, reason: str) -> State:
        """Let nobody read the mirror; the keeper makes another copy from the ledger."""
        return self.change(doubting(reason))

    # -- what it has yet to see

    def add(self, session: Session, *, tenant: str, owner: str, key: str, number: int = 0) -> int:
        """Note a change; return its number in the order of changes."""
        row = OutboxRow(
            mirror=self.name,
            tenant=tenant,
            owner=owner,
            key=key,
            number=number,
            created=self.clock(),
        )
        session.add(row)
        session.flush()
        return row.id

    def pending(
        self, session: Session, *, limit: int = 500, before: datetime | None = None
    ) -> Sequence[OutboxRow]:
        """Return the oldest changes noted, at most `limit`, of those noted `before`."""
        query = select(OutboxRow).where(OutboxRow.mirror == self.name)
        if before is not None:
            query = query.where(OutboxRow.created < before)
        return session.scalars(query.order_by(OutboxRow.id).limit(limit)).all()

    def seen(self, session: Session, rows: Sequence[OutboxRow]) -> None:
        """Strike changes out: the mirror has them."""
        session.execute(delete(OutboxRow).where(OutboxRow.id.in_([row.id for row in rows])))

    def waiting(self) -> int:
        """Return how many changes the mirror has yet to see."""
        with self.database.reading() as session:
            rows = select(func.count()).select_from(OutboxRow)
            return session.scalar(rows.where(OutboxRow.mirror == self.name)) or 0
