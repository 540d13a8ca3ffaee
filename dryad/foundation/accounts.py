"""Accounts and their units: what budgets are kept in, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal, get_args

from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import checked_name

Resource = Literal["tokens", "cost_usd", "requests", "tool_calls", "wall_seconds"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)

Shape = Literal["depth", "fan_out"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
"""How far work may branch: nothing of it is used up, so it is compared with its cap alone."""

PERIOD = timedelta(days=30)
"""Tenants and projects begin anew after so long; tasks and agents never do."""

_UNITS: Mapping[str, Decimal] = {"cost_usd": Decimal(1_000_000), "wall_seconds": Decimal(1_000)}
"""Money is kept in millionths of a dollar and time in milliseconds: whole numbers add up."""

Amounts = Mapping[Resource, Decimal | int | float]


@dataclass(frozen=True)
class Line:
    """One resource of one account, in the resource's own unit."""

    cap: Decimal | None
    """None: no limit."""
    spent: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal | None:
        """What another step may still reserve; None: no limit."""
        return None if self.cap is None else max(Decimal(0), self.cap - self.spent - self.reserved)


@dataclass(frozen=True)
class Account:
    """One account as it stands."""

    name: str
    lines: Mapping[str, Line]
    period_ends: datetime | None
    """When what was spent counts from 0 again; None: never."""


@dataclass(frozen=True)
class Reservation:
    """What one step holds until it is settled."""

    id: str
    accounts: tuple[str, ...]
    amounts: Mapping[str, int] = field(repr=False)


def accounts_of(
    tenant: str, *, project: str = "", task: str = "", agent: str = ""
) -> tuple[str, ...]:
    """Return the accounts a step is charged to, the widest first.

    Raises:
        InvalidRequest: a project's name is none.
    """
    names = [tenant]
    if project:
        names.append(f"{tenant}/project:{checked_name(project, what='a project')}")
    if task:
        names.append(f"{tenant}/task:{task}")
    if task and agent:
        names.append(f"{tenant}/task:{task}/agent:{agent}")
    return tuple(names)


def whole(amounts: Mapping[Any, Decimal | int | float | None]) -> dict[str, int | None]:
    """Return amounts as whole numbers of the unit they are kept in, rounded up.

    Raises:
        InvalidRequest: an unknown resource, or no amount.
    """
    kept: dict[str, int | None] = {}
    for name, amount in amounts.items():
        if name not in (*RESOURCES, *SHAPES):
            known = ", ".join((*RESOURCES, *SHAPES))
            raise InvalidRequest(f"{str(name)[:40]!r} is no resource", f"They are {known}.")
        if amount is None:
            kept[name] = None
            continue
        exact = Decimal(str(amount))
        if not exact.is_finite() or not 0 <= exact < Decimal(10**12):
            raise InvalidRequest(f"{name} must be from 0 to 10^12, got {amount}")
        scaled = exact * _UNITS.get(name, Decimal(1))
        kept[name] = int(scaled.to_integral_value(ROUND_CEILING))
    return kept


def own(resource: str, amount: int) -> Decimal:
    """Return an amount in the resource's own unit."""
    return (Decimal(amount) / _UNITS.get(resource, Decimal(1))).normalize() + 0
