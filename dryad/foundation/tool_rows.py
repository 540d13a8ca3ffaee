"""Tools and grants as the ledger holds them."""

from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dryad.foundation.database.models import GrantRow, ToolRow
from dryad.foundation.errors import NotFound
from dryad.foundation.ids import TenantId
from dryad.foundation.seal import Seal
from dryad.foundation.tool_rules import Grant, ToolSpec


def no_such_tool(name: str) -> NotFound:
    """Return the error of a tool the tenant does not have."""
    return NotFound(f"no tool {name[:80]}", "`dryad tools list` shows what is registered.")


def named(spec: ToolSpec) -> str:
    """Return a version as people write it."""
    return f"{spec.name} {spec.version}"


def columns(tenant: TenantId, spec: ToolSpec, seal: Seal | None) -> dict[str, Any]:
    """Return a version as a row's values, its configuration sealed."""
    values = {name: getattr(spec, name) for name in ToolSpec.__dataclass_fields__}
    return values | {"config": sealed(tenant, spec, seal)}


def sealed(tenant: TenantId, spec: ToolSpec, seal: Seal | None) -> dict[str, Any]:
    """Return a version's configuration as it is stored."""
    if seal is None:
        return dict(spec.config)
    return seal.close(spec.config, place=f"{tenant}/{named(spec)}")


def spec_of(row: ToolRow, seal: Seal | None) -> ToolSpec:
    """Return the version a row holds, its configuration opened."""
    spec = ToolSpec(**{name: getattr(row, name) for name in ToolSpec.__dataclass_fields__})
    if seal is None:
        return spec
    return replace(spec, config=seal.open(row.config, place=f"{row.tenant}/{named(spec)}"))


def granted(row: GrantRow) -> Grant:
    """Return the grant a row holds."""
    return Grant(**{name: getattr(row, name) for name in Grant.__dataclass_fields__})


def versions_of(session: Session, tenant: TenantId, name: str, seal: Seal | None) -> list[ToolSpec]:
    """Every version of a tool: active ones first, then by age, the newest first."""
    rows = session.scalars(
        select(ToolRow)
        .where(ToolRow.tenant == tenant, ToolRow.name == name, ToolRow.deleted.is_(None))
        .order_by(ToolRow.created.desc(), ToolRow.version.desc())
    )
    return sorted((spec_of(row, seal) for row in rows), key=lambda spec: spec.status != "active")


def grant_of(tenant: TenantId, principal: str, principal_type: str, tool: str) -> Any:
    """Return the query of one grant."""
    return select(GrantRow).where(
        GrantRow.tenant == tenant,
        GrantRow.principal == principal,
        GrantRow.principal_type == principal_type,
        GrantRow.tool == tool,
    )


def grants_for(
    session: Session, tenant: TenantId, agent: str, role: str, tool: str | None = None
) -> list[Grant]:
    """Return the grants an agent has by itself or by its role, for one tool or for all."""
    query = select(GrantRow).where(
        GrantRow.tenant == tenant,
        ((GrantRow.principal_type == "agent") & (GrantRow.principal == agent))
        | ((GrantRow.principal_type == "role") & (GrantRow.principal == role)),
    )
    if tool is not None:
        query = query.where(GrantRow.tool == tool)
    return [granted(row) for row in session.scalars(query.order_by(GrantRow.id))]
