"""Kill switches: what is stopped stays stopped, over restarts, until somebody lifts it.

A scope names what stops: `global`, `tenant:<id>`, `agent:<id>`, `tool:<name>` or `run:<id>`; the
last three within one tenant. Every step asks before it runs.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import StopRow
from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from dryad.foundation.ids import TenantId

GLOBAL = "global"
_EVERY = "*"
"""Stands for the tenant of a global stop."""
_SCOPE = re.compile(r"global|(?:tenant|agent|tool|run):[A-Za-z0-9][A-Za-z0-9_.-]{0,126}")


@dataclass(frozen=True)
class Stop:
    """One kill switch, in force while nobody lifted it."""

    id: int
    tenant: TenantId | None
    """Whose work stops; None: everybody's."""
    scope: str
    reason: str
    set_by: str
    set_at: datetime
    lifted_by: str | None
    lifted_at: datetime | None


class Stops:
    """Stop work, let it go on, and refuse what is stopped."""

    def __init__(self, database: Database, audit: Audit, clock: Clock = utc_now) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def set(self, tenant: str, scope: str, *, reason: str, by: str) -> Stop:
        """Stop what `scope` names; what is stopped already stays as it is.

        Args:
            tenant: Whose agent, tool or run; for a global stop, whose record tells of it.
            scope: `global`, `tenant:<id>`, `agent:<id>`, `tool:<name>` or `run:<id>`.
            reason: Shown to everybody who is refused.
            by: Who stops it.

        Raises:
            InvalidRequest: the scope means nothing, or no reason is given.
        """
        owner = _owner(tenant, scope)
        if not reason.strip():
            raise InvalidRequest("a stop needs a reason", "Say why; who is refused will read it.")
        with self._database.transaction() as session:
            lock(session, "stops")
            for row in _in_force(session, owner, scope):
                return _stop(row)
            row = StopRow(
                tenant=owner, scope=scope, reason=reason.strip(), set_by=by, set_at=self._clock()
            )
            session.add(row)
            session.flush()
            self._audit.append(
                tenant,
                "stop_set",
                actor=by,
                subject=scope,
                data={"reason": row.reason},
                session=session,
            )
            return _stop(row)

    def lift(self, tenant: str, scope: str, *, reason: str, by: str) -> Stop:
        """Let what `scope` names go on.

        Raises:
            InvalidRequest: the scope means nothing.
            NotFound: it is not stopped.
        """
        owner = _owner(tenant, scope)
        with self._database.transaction() as session:
            lock(session, "stops")
            rows = _in_force(session, owner, scope)
            if not rows:
                raise NotFound(f"{scope} is not stopped", "`dryad stop --list` shows what is.")
            for row in rows:
                row.lifted_by, row.lifted_at = by, self._clock()
            self._audit.append(
                tenant,
                "stop_lifted",
                actor=by,
                subject=scope,
                data={"reason": reason},
                session=session,
            )
            return _stop(rows[0])

    def in_force(self, tenant: str, scope: str) -> Stop:
        """Return the stop of exactly this scope.

        Raises:
            InvalidRequest: the scope means nothing.
            NotFound: it is not stopped.
        """
        owner = _owner(tenant, scope)
        with self._database.reading() as session:
            for row in _in_force(session, owner, scope):
                return _stop(row)
        raise NotFound(f"{scope} is not stopped", "`dryad stop --list` shows what is.")

    def list(self, tenant: str | None = None, *, lifted: bool = False) -> list[Stop]:
        """Return the stops in force, newest first.

        Args:
            tenant: Only those that stop this tenant's work, the global ones too; None: all.
            lifted: Also those that were lifted.
        """
        wanted = select(StopRow).order_by(StopRow.id.desc())
        if tenant is not None:
            wanted = wanted.where(StopRow.tenant.in_([tenant, _EVERY]))
        if not lifted:
            wanted = wanted.where(StopRow.lifted_at.is_(None))
        with self._database.reading() as session:
            return [_stop(row) for row in session.scalars(wanted)]

    def check(
        self,
        tenant: str,
        agent: str | None = None,
        tool: str | None = None,
        run: str | None = None,
    ) -> None:
        """Let a step begin.

        Raises:
            Refused: everything, the tenant, the agent, the tool or the run is stopped.
        """
        named = {"agent": agent, "tool": tool, "run": run}
        scopes = [f"tenant:{tenant}", *(f"{kind}:{name}" for kind, name in named.items() if name)]
        stopped = or_(
            StopRow.tenant == _EVERY, and_(StopRow.tenant == tenant, StopRow.scope.in_(scopes))
        )
        with self._database.reading() as session:
            row = session.scalars(
                select(StopRow).where(StopRow.lifted_at.is_(None), stopped).order_by(StopRow.id)
            ).first()
        if row is not None:
            raise Refused(
                f"stopped ({row.scope}): {row.reason}",
                f"{row.set_by} stopped it; `dryad lift {row.scope}` lets it go on.",
            )


def _owner(tenant: str, scope: str) -> str:
    """Return whose work a scope stops, as it is stored."""
    if not _SCOPE.fullmatch(scope):
        raise InvalidRequest(
            f"{scope[:80]!r} is no scope of a stop",
            "One of: global, tenant:<id>, agent:<id>, tool:<name>, run:<id>.",
        )
    kind, _, name = scope.partition(":")
    if kind == "tenant" and name != tenant:
        raise InvalidRequest(f"{scope} is not a scope of tenant {tenant[:80]!r}")
    return _EVERY if scope == GLOBAL else tenant


def _in_force(session: Session, owner: str, scope: str) -> list[StopRow]:
    return list(
        session.scalars(
            select(StopRow).where(
                StopRow.tenant == owner, StopRow.scope == scope, StopRow.lifted_at.is_(None)
            )
        )
    )


def _stop(row: StopRow) -> Stop:
    return Stop(
        id=row.id,
        tenant=None if row.tenant == _EVERY else TenantId(row.tenant),
        scope=row.scope,
        reason=row.reason,
        set_by=row.set_by,
        set_at=row.set_at,
        lifted_by=row.lifted_by,
        lifted_at=row.lifted_at,
    )
