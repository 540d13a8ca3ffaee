"""Who may call which tool: what was granted to an agent or to everybody of a role."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database.engine import Database
from dryad.foundation.database.models import GrantRow
from dryad.foundation.errors import InvalidRequest, NotFound
from dryad.foundation.ids import TenantId
from dryad.foundation.seal import Seal
from dryad.foundation.tool_rows import grant_of, granted, no_such_tool, versions_of
from dryad.foundation.tool_rules import Grant, PrincipalType, checked_conditions


class Trail(Protocol):
    """Where decisions are recorded."""

    def append(
        self,
        tenant: TenantId,
        event: str,
        *,
        actor: str,
        subject: str,
        data: dict[str, Any],
        session: Session | None = None,
    ) -> int:
        """Record one event, in the caller's transaction when `session` is given."""
        ...


class Grants:
    """The grants of every tenant: the part of the tool registry that says who may call what."""

    def __init__(
        self,
        database: Database,
        clock: Clock = utc_now,
        audit: Trail | None = None,
        seal: Seal | None = None,
    ) -> None:
        """Open the registry.

        Args:
            database: The ledger.
            clock: Tells the time.
            audit: Told of every change.
            seal: Hides in the ledger what administrators set for tools; None leaves it readable.
        """
        self._database = database
        self._clock = clock
        self._audit = audit
        self._seal = seal

    def grant(
        self,
        tenant: TenantId,
        principal: str,
        tool: str,
        *,
        principal_type: PrincipalType = "agent",
        conditions: Mapping[str, Any] | None = None,
        expires: datetime | None = None,
        by: str = "system",
    ) -> Grant:
        """Let an agent or role call a tool; a grant that is there already is replaced.

        Raises:
            NotFound: the tenant has no such tool.
            InvalidRequest: an unknown condition, or an expiry in the past.
        """
        with self._database.reading() as session:
            if not versions_of(session, tenant, tool, self._seal):
                raise no_such_tool(tool)
        checked = checked_conditions(conditions or {})
        now = self._clock()
        if expires is not None and expires <= now:
            raise InvalidRequest("a grant cannot expire in the past")
        with self._database.transaction() as session:
            row = session.scalar(grant_of(tenant, principal, principal_type, tool))
            if row is None:
                row = GrantRow(
                    tenant=tenant, principal=principal, principal_type=principal_type, tool=tool
                )
                session.add(row)
            row.conditions, row.expires, row.created_by, row.created = checked, expires, by, now
            self._say(session, tenant, "tool_granted", by=by, tool=tool, to=principal)
            return granted(row)

    def revoke(
        self,
        tenant: TenantId,
        principal: str,
        tool: str,
        *,
        principal_type: PrincipalType = "agent",
        by: str = "system",
    ) -> None:
        """Take a grant back; the next call is refused.

        Raises:
            NotFound: there is no such grant.
        """
        with self._database.transaction() as session:
            row = session.scalar(grant_of(tenant, principal, principal_type, tool))
            if row is None:
                raise NotFound(f"{principal} has no grant for {tool}")
            session.execute(delete(GrantRow).where(GrantRow.id == row.id))
            self._say(session, tenant, "tool_revoked", by=by, tool=tool, was=principal)

    def grants(self, tenant: TenantId, *, principal: str | None = None) -> list[Grant]:
        """Return the tenant's grants, or those of one agent or role, expired ones included."""
        query = select(GrantRow).where(GrantRow.tenant == tenant)
        if principal is not None:
            query = query.where(GrantRow.principal == principal)
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(GrantRow.principal, GrantRow.tool))
            return [granted(row) for row in rows]

    def _say(
        self, session: Session, tenant: TenantId, event: str, *, by: str, tool: str, **data: Any
    ) -> None:
        if self._audit is not None:
            subject = f"tool:{tool}"
            self._audit.append(tenant, event, actor=by, subject=subject, data=data, session=session)
