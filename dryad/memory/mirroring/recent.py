"""Short-term memory copied into a faster server, which never tells an older value than the ledger.

A reader believes the copy for a second at a time, as the ledger says. A writer fences the slot in
the copy, commits to the ledger, and publishes; whoever reads meanwhile is sent to the ledger. A
writer that cannot reach the copy takes away everybody's belief in it in the same transaction, and
acknowledges when the last reader's second is over. The keeper relays what writers could not
publish, and makes a new copy when the server was lost or started anew.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from secrets import token_hex
from typing import TypeVar

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from dryad.foundation import logs
from dryad.foundation.canonical import canonical_json
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import OutboxRow, RecentRow
from dryad.foundation.errors import Unavailable
from dryad.foundation.ids import TenantId
from dryad.memory.mirroring.states import Differences, State, States, doubting
from dryad.memory.recent.port import Change, Copy, Entry, RecentMirror, Slot, Trace

T = TypeVar("T")

BATCH = 500

log = logs.get_logger("archivist")


class RecentCopy:
    """The copy of short-term memory, as one process sees it."""

    def __init__(
        self,
        database: Database,
        mirror: RecentMirror,
        *,
        clock: Clock = utc_now,
        belief: timedelta = timedelta(seconds=1),
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            database: The ledger.
            mirror: The server with the copy.
            clock: Tells the time.
            belief: How long a reader believes what the ledger said about the copy. A writer that
                loses the server waits so long, once.
        """
        self.states = States(database, "recent", clock=clock)
        self.missing = ""
        """Why the newest read went without it; '' when it did not."""
        self._database = database
        self._mirror = mirror
        self._belief = belief.total_seconds()
        self._believed: tuple[State, float] = (State(), 0.0)
        self._paused_until = 0.0

    # -- readers

    def read(self, slot: Slot) -> Entry | None:
        """Return what the copy holds, None when the ledger must be asked."""
        if time.monotonic() < self._paused_until:
            return None
        state = self._state()
        if not state.trusted:
            self.missing = state.reason or "the copy in Redis is being made"
            return None
        try:
            found = self._mirror.read(_copy(state), slot)
            self.missing = ""
            return found
        except Unavailable as reason:
            self.missing = reason.message
            self._paused_until = time.monotonic() + self._belief
            log.warning("mirror_not_read", mirror="recent", reason=reason.message)
            return None

    # -- writers

    def write(self, slot: Slot, change: Callable[[Session, int], tuple[T, Entry | None]]) -> T:
        """Commit a change to the ledger, and try to bring it to the copy, once.

        Args:
            slot: What is changed.
            change: Makes the change; given the transaction and the number of the change, it
                returns the caller's result and the slot's new entry.
        """
        while True:
            state = self._state()
            if state.generation == 0:  # from now on there is a row that writers hold
                self.states.change(lambda old: State(max(1, old.generation), old.trusted))
            token, lost = self._fenced(state, slot)
            with self._database.transaction() as session:
                now = self.states.within(session, hold="alone" if lost else "share")
                if now.trusted and (now.generation, now.trusted) != (
                    state.generation,
                    state.trusted,
                ):
                    self._believed = (State(), 0.0)  # a copy was made since: fence it as well
                    continue
                # The order of changes of one slot is the order of their numbers.
                lock(session, "/".join(("recent", *slot)))
                number = self.states.add(
                    session, tenant=slot.tenant, owner=slot.agent, key=slot.key
                )
                result, entry = change(session, number)
                if lost and now.trusted:
                    self.states.change_within(session, doubting(lost))
            break
        if lost and now.trusted:
            log.error("mirror_lost", mirror="recent", reason=lost)
            self._believed = (State(), 0.0)
            time.sleep(self._belief)
        elif token and now.trusted:
            self._publish(state, Change(slot, number, entry), token)
        return result

    def _fenced(self, state: State, slot: Slot) -> tuple[str, str]:
        """Return the token of a fence, '' where none is needed; and why there could be none."""
        if not state.trusted:
            return "", ""
        token = token_hex(8)
        try:
            self._mirror.fence(_copy(state), slot, token)
        except Unavailable as reason:
            return "", reason.message
        return token, ""

    def _publish(self, state: State, change: Change, token: str) -> None:
        try:
            self._mirror.publish(_copy(state), [change], token=token)
        except Unavailable as reason:  # it stays fenced, and the keeper relays it
            log.warning("mirror_not_written", mirror="recent", reason=reason.message)

    # -- the keeper

    def keep(self) -> None:
        """Relay what the copy has yet to see; make another one where there is none to believe.

        Raises:
            Unavailable: the server does not answer; nobody believes its copy any more.
        """
        try:
            server = self._mirror.server()
            state = self.states.read()
            if state.trusted == server:
                while self._relay(_copy(state)):
                    pass
            else:
                self._renew(server)
        except Unavailable as reason:
            if self.states.read().trusted:
                log.error("mirror_lost", mirror="recent", reason=reason.message)  # noqa: TRY400 - structured
                self.states.doubt(reason.message)
            raise

    def trouble(self) -> str:
        """Return why nobody reads the copy now; '' when it is read."""
        try:
            server = self._mirror.server()
        except Unavailable as reason:
            return reason.message
        state = self.states.read()
        return "" if state.trusted == server else state.reason or "the copy is being made"

    def check(self) -> Differences:
        """Compare the copy with the ledger; where they differ, make another one.

        Raises:
            Unavailable: the server does not answer, or no copy is believed.
        """
        self.keep()
        state = self.states.read()
        suspects = self._differing(state)
        if suspects[1]:
            self.keep()  # what changed while it was compared is no difference
            again = self._differing(state)
            common = suspects[1].keys() & again[1].keys()
            kinds = [again[1][slot] for slot in common]
        else:
            kinds = []
        found = Differences(
            checked=suspects[0],
            missing=kinds.count("missing"),
            extra=kinds.count("extra"),
            stale=kinds.count("stale"),
        )
        if found.found:
            log.error("mirror_differed", mirror="recent", differences=found.found)
            self.states.doubt("it differed from the ledger")
            self._renew(self._mirror.server())
        return found

    def _differing(self, state: State) -> tuple[int, dict[Slot, str]]:
        held = dict(self._mirror.held(_copy(state)))
        differing: dict[Slot, str] = {}
        compared = 0
        for change in self._ledger():
            compared += 1
            assert change.entry is not None
            trace = held.pop(change.slot, None)
            if trace is None:
                differing[change.slot] = "missing"
            elif trace != Trace.of(change.entry):
                differing[change.slot] = "stale"
        return compared, differing | dict.fromkeys(held, "extra")

    def _relay(self, copy: Copy) -> bool:
        """Bring one batch of changes to the copy; return whether there may be more."""
        with self._database.reading() as session:
            rows = self.states.pending(session, limit=BATCH)
            changes = _current(session, rows)
        if not rows:
            return False
        self._mirror.publish(copy, changes)
        with self._database.transaction() as session:
            self.states.seen(session, rows)
        return len(rows) == BATCH

    def _renew(self, server: str) -> None:
        state = self.states.change(
            lambda old: State(old.generation + 1, "", old.reason or "a copy is being made")
        )
        copy = Copy(state.generation, server)
        batch: list[Change] = []
        copied = 0
        for change in self._ledger():
            batch.append(change)
            copied += 1
            if len(batch) == BATCH:
                self._mirror.publish(copy, batch)
                batch = []
        if batch:
            self._mirror.publish(copy, batch)
        while self._relay(copy):
            pass
        with self._database.transaction() as session:
            # Writers hold the state until they commit: what they changed is in the outbox now.
            self.states.change_within(
                session,
                lambda now: (
                    State(now.generation, server) if now.generation == copy.generation else now
                ),
            )
            self._relay_within(session, copy)
        self._mirror.drop_others(copy)
        log.info("mirror_made", mirror="recent", values=copied, generation=copy.generation)

    def _relay_within(self, session: Session, copy: Copy) -> None:
        while rows := self.states.pending(session, limit=BATCH):
            self._mirror.publish(copy, _current(session, rows))
            self.states.seen(session, rows)

    def _ledger(self) -> Iterator[Change]:
        """Yield every living value of the ledger, page by page."""
        after = ("", "", "")
        place = (RecentRow.tenant, RecentRow.agent, RecentRow.key)
        while True:
            with self._database.reading() as session:
                rows = session.scalars(
                    select(RecentRow)
                    .where(tuple_(*place) > after, RecentRow.expires > self.states.clock())
                    .order_by(*place)
                    .limit(BATCH)
                ).all()
            if not rows:
                return
            yield from map(_change, rows)
            after = (rows[-1].tenant, rows[-1].agent, rows[-1].key)

    def _state(self) -> State:
        state, until = self._believed
        now = time.monotonic()
        if now >= until:
            state = self.states.read()
            self._believed = (state, now + self._belief)
        return state


def entry_of(row: RecentRow) -> Entry:
    """Return a row of the ledger as a mirror holds it."""
    return Entry(row.sequence, canonical_json(row.value), row.expires)


def _copy(state: State) -> Copy:
    return Copy(state.generation, state.trusted)


def _change(row: RecentRow) -> Change:
    slot = Slot(TenantId(row.tenant), row.agent, row.key)
    return Change(slot, row.sequence, entry_of(row))


def _current(session: Session, rows: Sequence[OutboxRow]) -> list[Change]:
    """Return what has become of the slots that changed."""
    newest = {Slot(TenantId(row.tenant), row.owner, row.key): row.id for row in rows}
    changes: list[Change] = []
    for slot, number in newest.items():
        row = session.get(RecentRow, tuple(slot), populate_existing=True)
        changes.append(_change(row) if row else Change(slot, number, None))
    return changes
