"""An append-only record of who did what, chained so that nobody can change it unseen.

Each row of a tenant carries the code (HMAC-SHA256) of itself and of the row before it. The newest
sequence and code, the *head*, are also kept outside the database: a chain cut at its end is whole
in itself, but shorter than its head says. Who can write the ledger, the anchor and holds the audit
key can still forge; keep the three apart.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Select, select
from sqlalchemy.event import listen
from sqlalchemy.orm import Session

from dryad.foundation.anchor import Anchor, Head
from dryad.foundation.canonical import canonical_json
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import AuditRow
from dryad.foundation.errors import Corrupt, InvalidRequest
from dryad.foundation.ids import TenantId, checked_name
from dryad.foundation.logs import get_logger

log = get_logger("audit")

_FIRST = "0" * 64
"""What the first row of a chain names as the one before it."""
_UNANCHORED = "audit_heads"


@dataclass(frozen=True)
class Verification:
    """What a look at one tenant's chain found."""

    tenant: TenantId
    rows: int
    """Rows that are whole and in their place, from the first on."""
    bad: int | None
    """The sequence of the first row that is not as it was written, or is gone."""
    reason: str
    unanchored: int
    """Newest rows the anchor does not know yet: nobody would miss them."""

    @property
    def intact(self) -> bool:
        """Whether the chain is as it was written."""
        return self.bad is None


class Audit:
    """Write the record, and prove that it is whole."""

    def __init__(
        self, database: Database, key: bytes, anchor: Path, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._key = key
        self._anchor = Anchor(anchor)
        self._clock = clock

    def append(
        self,
        tenant: str,
        event: str,
        *,
        actor: str,
        subject: str,
        data: Mapping[str, Any] | None = None,
        session: Session | None = None,
    ) -> int:
        """Record one event at the end of the tenant's chain.

        Args:
            tenant: Whose chain.
            event: What happened, 1-64 characters: `deployed`, `configuration_changed`, ….
            actor: Who did it.
            subject: To what it was done.
            data: More about it, as JSON; no secrets.
            session: The caller's transaction: event and effect are kept together or not at all.
                The tenant's chain stays locked until it ends, so append last.

        Returns:
            The sequence of the new row, from 1 without a gap.

        Raises:
            InvalidRequest: the event's name or the data cannot be stored.
            Unavailable: the database does not answer.
        """
        if not 1 <= len(event) <= 64:
            raise InvalidRequest(f"an audit event's name has 1-64 characters, got {event[:80]!r}")
        checked_name(tenant, what="a tenant id")
        row = AuditRow(
            tenant=tenant, event=event, actor=actor, subject=subject, data=_as_stored(data or {})
        )
        own: AbstractContextManager[Session] = (
            self._database.transaction() if session is None else nullcontext(session)
        )
        with own as joined:
            lock(joined, f"audit:{tenant}")
            last = joined.scalars(_newest_first(tenant).limit(1)).first()
            row.at = self._clock()
            row.sequence = 1 if last is None else last.sequence + 1
            row.previous = _FIRST if last is None else last.mac
            row.mac = self._code(row)
            joined.add(row)
            joined.flush()
            if self._continues(joined, tenant, last):
                self._anchor_after_commit(joined, tenant, Head(row.sequence, row.mac))
        return row.sequence

    def verify(self, tenant: str) -> Verification:
        """Follow the tenant's chain from its first row and name the first that is wrong."""
        try:
            head = self._anchor.read(tenant)  # first: appending goes on meanwhile
        except Corrupt as error:
            return Verification(TenantId(tenant), 0, 1, error.message, 0)
        expected, previous = 1, _FIRST
        with self._database.reading() as session:
            for row in _every(session, tenant):
                reason = self._wrong(row, expected, previous, head)
                if reason:
                    return Verification(TenantId(tenant), expected - 1, expected, reason, 0)
                expected, previous = expected + 1, row.mac
        rows = expected - 1
        if head is not None and head.sequence > rows:
            reason = f"row {expected} is gone: the anchor knows {head.sequence}"
            return Verification(TenantId(tenant), rows, expected, reason, 0)
        unanchored = rows - (0 if head is None else head.sequence)
        return Verification(TenantId(tenant), rows, None, "", unanchored)

    def export(self, tenant: str) -> Iterator[dict[str, Any]]:
        """Yield the tenant's rows in order, with the codes that prove them."""
        with self._database.reading() as session:
            for row in _every(session, tenant):
                yield {**_content(row), "mac": row.mac}

    def accept(self, tenant: str, *, actor: str, reason: str) -> int:
        """Take the chain as it is now for the truth, on record: after a restored backup.

        Until then rows are still recorded, but the anchor keeps what it knew.

        Returns:
            The sequence of the row that says so.
        """
        found = self.verify(tenant)
        data = {"reason": reason, "rows": found.rows, "bad": found.bad, "found": found.reason}
        sequence = self.append(tenant, "audit_accepted", actor=actor, subject=tenant, data=data)
        with self._database.reading() as session:
            row = session.get_one(AuditRow, (tenant, sequence))
        self._anchor.replace(tenant, Head(row.sequence, row.mac))
        return sequence

    def _code(self, row: AuditRow) -> str:
        return hmac.new(self._key, canonical_json(_content(row)), hashlib.sha256).hexdigest()

    def _wrong(self, row: AuditRow, expected: int, previous: str, head: Head | None) -> str:
        if row.sequence != expected:
            return f"row {expected} is gone"
        if not hmac.compare_digest(row.mac, self._code(row)):
            return f"row {expected} was changed"
        if row.previous != previous:
            return f"row {expected} does not follow the row before it"
        if head is not None and head.sequence == expected and head.mac != row.mac:
            return f"row {expected} is not the one the anchor knows"
        return ""

    def _continues(self, session: Session, tenant: str, last: AuditRow | None) -> bool:
        """Whether the chain still holds what the anchor knows; if not, the anchor must stay."""
        try:
            head = self._anchor.read(tenant)
        except Corrupt as error:
            log.critical("audit_anchor_unusable", tenant=tenant, reason=error.message)
            return False
        if head is None:
            return True
        if last is not None and head.sequence <= last.sequence:
            row = session.get_one(AuditRow, (tenant, head.sequence))
            if row.mac == head.mac:
                return True
        log.critical("audit_contradicts_anchor", tenant=tenant, anchored=head.sequence)
        return False

    def _anchor_after_commit(self, session: Session, tenant: str, head: Head) -> None:
        """Only what is committed may be anchored; of several rows in a transaction the last."""
        heads: dict[str, Head] | None = session.info.get(_UNANCHORED)
        if heads is None:
            heads = session.info[_UNANCHORED] = {}

            def anchor(committed: Session) -> None:
                while heads and not committed.in_nested_transaction():
                    self._keep(*heads.popitem())

            def forget(_session: Session, _previous: object) -> None:
                heads.clear()

            listen(session, "after_commit", anchor)
            listen(session, "after_soft_rollback", forget)
        heads[tenant] = head

    def _keep(self, tenant: str, head: Head) -> None:
        try:
            self._anchor.advance(tenant, head)
        except (
            OSError,
            Corrupt,
        ) as error:  # the row is committed; verify counts it as not anchored
            log.critical("audit_not_anchored", tenant=tenant, reason=str(error))


def _content(row: AuditRow) -> dict[str, Any]:
    """Everything the code of a row covers."""
    return {
        "tenant": row.tenant,
        "sequence": row.sequence,
        "at": row.at,
        "actor": row.actor,
        "event": row.event,
        "subject": row.subject,
        "data": row.data,
        "previous": row.previous,
    }


def _as_stored(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` as it will be read back, so that its code does not change on the way."""
    try:
        return orjson.loads(canonical_json(dict(data)))
    except TypeError as error:
        raise InvalidRequest(f"audit data must be JSON: {error}") from error


def _newest_first(tenant: str) -> Select[tuple[AuditRow]]:
    return select(AuditRow).where(AuditRow.tenant == tenant).order_by(AuditRow.sequence.desc())


def _every(session: Session, tenant: str) -> Iterator[AuditRow]:
    """Yield a chain in order, a page at a time: a long one is never loaded whole."""
    page = select(AuditRow).where(AuditRow.tenant == tenant).order_by(AuditRow.sequence).limit(500)
    rows = session.scalars(page).all()
    while rows:
        yield from rows
        rows = session.scalars(page.where(AuditRow.sequence > rows[-1].sequence)).all()
