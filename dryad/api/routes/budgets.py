"""Budgets: what may be used, was used, and is held by steps under way."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from dryad.api.auth import Access, Admin, TaskReader
from dryad.api.shapes import Incoming, Limit, Outgoing, Page
from dryad.foundation.accounts import Account

router = APIRouter(prefix="/budgets", tags=["budgets"])

Below = Annotated[
    str, Query(max_length=200, description="Only accounts so named: `task:`, `project:web`, …")
]
_NAME = r"^((project|task):[a-z0-9][a-z0-9_-]{0,63}(/agent:[a-z0-9][a-z0-9_-]{0,63})?)?$"


class CapsIn(Incoming):
    """What one account may use; what is not named stays as it is, null takes a limit away."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"account": "project:web", "caps": {"tokens": 1000000}}]}
    )

    account: str = Field(
        default="", pattern=_NAME, description="'' for the tenant, `project:<name>`, `task:<id>`"
    )
    caps: dict[str, float | None] = Field(
        min_length=1,
        description="tokens, cost_usd, requests, tool_calls, wall_seconds, depth, fan_out",
    )


class LineOut(Outgoing):
    """One resource."""

    cap: float | None
    spent: float
    reserved: float
    left: float | None


class AccountOut(Outgoing):
    """One account."""

    account: str = Field(description="'' is the tenant")
    lines: dict[str, LineOut]
    period_ends: datetime | None = Field(description="When `spent` counts from 0 again")


@router.get("")
def list_accounts(access: TaskReader, limit: Limit = 100, begins: Below = "") -> Page[AccountOut]:
    """List the tenant's accounts by name."""
    budgets = access.edge.services.budgets
    budgets.open([access.tenant])
    found = budgets.of_tenant(access.tenant, begins=begins, limit=limit)
    return Page[AccountOut](items=[_out(access, account) for account in found])


@router.put("")
def set_caps(body: CapsIn, access: Admin) -> AccountOut:
    """Change caps; the next step obeys. Steps under way keep what they reserved."""
    name = f"{access.tenant}/{body.account}" if body.account else str(access.tenant)
    made = access.edge.services.budgets.set_caps(name, body.caps, by=access.actor)
    return _out(access, made)


def _out(access: Access, account: Account) -> AccountOut:
    name = account.name.removeprefix(access.tenant).removeprefix("/")
    lines = {resource: LineOut.model_validate(line) for resource, line in account.lines.items()}
    return AccountOut(account=name, lines=lines, period_ends=account.period_ends)
