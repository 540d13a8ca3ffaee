"""Short-term memory: remember, recall, forget; nothing outlives its time."""

import re
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import orjson
from sqlalchemy import delete, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dryad.execution.memories import Provenance, Remembered
from dryad.foundation.canonical import canonical_json
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import RecentRow
from dryad.foundation.errors import InvalidRequest, LimitExceeded
from dryad.foundation.ids import TenantId, checked_name
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.recent.port import Entry, Slot

T = TypeVar("T")

LONGEST = timedelta(days=7)
MAX_VALUE_BYTES = 1_000_000
MAX_KEY_CHARACTERS = 200
MAX_RESULTS = 1_000

_CHANGING = ("value", "expires", "updated", "sequence")


class Archivist:
    """Keeps values in the ledger by tenant, agent and key, until they expire.

    With a mirror, single values are read there; the ledger answers where the mirror does not.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock = utc_now,
        retention: timedelta = timedelta(hours=24),
        max_value_bytes: int = MAX_VALUE_BYTES,
        copy: RecentCopy | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._retention = min(retention, LONGEST)
        self._max_value_bytes = max_value_bytes
        self._copy = copy

    @property
    def degraded(self) -> str:
        """Why the newest value was read in the ledger, not in the mirror; '' when it was not."""
        return self._copy.missing if self._copy else ""

    def remember(
        self,
        tenant: TenantId,
        agent: str,
        key: str,
        value: Any,
        *,
        ttl: timedelta | None = None,
        provenance: Provenance = "untrusted",
    ) -> datetime:
        """Keep `value` under `key`, in place of any earlier one; return when it expires.

        Args:
            tenant: Whose memory.
            agent: Which agent's.
            key: 1-200 printable characters.
            value: Anything JSON can say, at most 1 MB.
            ttl: How long, up to 7 days; default the installation's retention.
            provenance: May its words be believed?

        Raises:
            InvalidRequest: a name, the key, the value or `ttl` is malformed.
            LimitExceeded: the value is too large.
        """
        ttl = self._retention if ttl is None else ttl
        if not timedelta(0) < ttl <= LONGEST:
            raise InvalidRequest(f"a value is kept for up to {LONGEST.days} days, got {ttl}")
        _check(tenant, agent)
        now = self._clock()
        row = {
            "tenant": tenant,
            "agent": agent,
            "key": _checked_key(key),
            "value": {"value": self._as_json(value), "provenance": provenance},
            "expires": now + ttl,
            "updated": now,
        }
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert

        def change(session: Session, sequence: int) -> tuple[datetime, Entry]:
            statement = insert(RecentRow).values(**row, sequence=sequence)
            changing = {name: statement.excluded[name] for name in _CHANGING}
            session.execute(
                statement.on_conflict_do_update(
                    index_elements=["tenant", "agent", "key"], set_=changing
                )
            )
            return now + ttl, Entry(sequence, canonical_json(row["value"]), now + ttl)

        return self._write(Slot(tenant, agent, key), change)

    def recall(self, tenant: TenantId, agent: str, key: str) -> Remembered | None:
        """Return what is kept under `key`, never an expired value."""
        slot = Slot(tenant, agent, _checked_key(key))
        found = self._copy.read(slot) if self._copy else None
        if found is not None:
            return _as_remembered(slot, found) if found.expires > self._clock() else None
        with self._database.reading() as session:
            row = session.get(RecentRow, tuple(slot))
            return _remembered(row) if row and row.expires > self._clock() else None

    def forget(self, tenant: TenantId, agent: str, key: str) -> bool:
        """Remove what is kept under `key`; False when there was nothing, or nothing any more."""

        def change(session: Session, _sequence: int) -> tuple[bool, None]:
            expires = session.scalar(
                delete(RecentRow)
                .where(RecentRow.tenant == tenant, RecentRow.agent == agent, RecentRow.key == key)
                .returning(RecentRow.expires)
            )
            return expires is not None and expires > self._clock(), None

        return self._write(Slot(tenant, agent, _checked_key(key)), change)

    def expiring(
        self, tenant: TenantId, *, within: timedelta, limit: int = 1_000
    ) -> list[tuple[str, Remembered]]:
        """Return what expires soon, with its owner, soonest first; nothing that has expired."""
        now = self._clock()
        query = (
            select(RecentRow)
            .where(
                RecentRow.tenant == tenant,
                RecentRow.expires > now,
                RecentRow.expires <= now + within,
            )
            .order_by(RecentRow.expires, RecentRow.agent, RecentRow.key)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [(row.agent, _remembered(row)) for row in session.scalars(query)]

    def newest(self, tenant: TenantId, agent: str, *, limit: int) -> list[Remembered]:
        """Return what was remembered last, the newest first; read in the ledger."""
        query = (
            select(RecentRow)
            .where(
                RecentRow.tenant == tenant,
                RecentRow.agent == agent,
                RecentRow.expires > self._clock(),
            )
            .order_by(RecentRow.updated.desc(), RecentRow.key)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [_remembered(row) for row in session.scalars(query)]

    def list(
        self,
        tenant: TenantId,
        agent: str | None,
        pattern: str = "*",
        *,
        limit: int = 100,
        holding: Collection[str] = (),
    ) -> list[Remembered]:
        """Return what is kept under the keys that match, by agent and key; read in the ledger.

        Args:
            tenant: Whose memory.
            agent: Which agent's; None: every agent's.
            pattern: A key in which `*` stands for any characters; nothing else is special.
            limit: Most values returned, 1-1,000.
            holding: Only what has all these words in its key or value, case aside.

        Raises:
            InvalidRequest: the limit is out of bounds, or the pattern could match no key.
        """
        _checked_key(pattern)
        if not 1 <= limit <= MAX_RESULTS:
            raise InvalidRequest(f"limit must be 1-{MAX_RESULTS}, got {limit}")
        like = re.sub(r"([\\%_])", r"\\\1", pattern).replace("*", "%")
        # SQLite's LIKE takes a for A: it narrows, the expression decides. It never turns back, or
        # a pattern of many stars would take for ever.
        first, *rest = map(re.escape, pattern.split("*"))
        *between, last = rest or [""]
        middle = "".join(f"(?>.*?{part})" for part in between)
        exact = re.compile(f"{first}{middle}{f'.*{last}' if rest else ''}", re.DOTALL)
        key = RecentRow.key if self._database.is_sqlite else RecentRow.key.collate("C")
        query = (
            select(RecentRow)
            .where(
                RecentRow.tenant == tenant,
                RecentRow.agent == agent if agent is not None else true(),
                RecentRow.key.like(like, escape="\\"),
                RecentRow.expires > self._clock(),
            )
            .order_by(RecentRow.agent, key)
            .execution_options(yield_per=100)
        )
        words = [word.casefold() for word in holding]
        with self._database.reading() as session, closing(session.scalars(query)) as rows:
            matching = (row for row in rows if exact.fullmatch(row.key) and _holds(row, words))
            return [_remembered(row) for row in islice(matching, limit)]

    def purge(self) -> int:
        """Remove every expired value of every tenant; return how many there were."""
        with self._database.transaction() as session:
            gone = session.execute(delete(RecentRow).where(RecentRow.expires <= self._clock()))
            return int(gone.rowcount)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]

    def _write(self, slot: Slot, change: Callable[[Session, int], tuple[T, Entry | None]]) -> T:
        if self._copy is not None:
            return self._copy.write(slot, change)
        with self._database.transaction() as session:
            return change(session, 0)[0]

    def _as_json(self, value: Any) -> Any:
        try:
            written = canonical_json(value)
        except TypeError as error:
            raise InvalidRequest(f"a value must be JSON: {error}") from error
        if len(written) > self._max_value_bytes:
            raise LimitExceeded(
                f"a value has at most {self._max_value_bytes:,} bytes, got {len(written):,}"
            )
        return orjson.loads(written)


def _check(tenant: str, agent: str) -> None:
    checked_name(tenant, what="a tenant")
    checked_name(agent, what="an agent")


def _checked_key(key: str) -> str:
    if not key or len(key) > MAX_KEY_CHARACTERS or not key.isprintable():
        raise InvalidRequest(f"a key has 1-{MAX_KEY_CHARACTERS} printable characters")
    return key


def _holds(row: RecentRow, words: Sequence[str]) -> bool:
    if not words:
        return True
    value = row.value["value"]
    told = value if isinstance(value, str) else canonical_json(value).decode()
    within = f"{row.key} {told}".casefold()
    return all(word in within for word in words)


def _remembered(row: RecentRow) -> Remembered:
    kept = row.value
    return Remembered(row.key, kept["value"], row.expires, kept["provenance"], row.agent)


def _as_remembered(slot: Slot, entry: Entry) -> Remembered:
    kept = orjson.loads(entry.body)
    return Remembered(slot.key, kept["value"], entry.expires, kept["provenance"], slot.agent)
