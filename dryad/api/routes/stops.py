"""Stops: kill switches, set and lifted on record."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from dryad.api.auth import Access, Admin, Reviewer, TaskReader
from dryad.api.shapes import ClaimIn, Incoming, Line, Outgoing, Page, claim_of
from dryad.foundation.stops import GLOBAL

router = APIRouter(prefix="/stops", tags=["stops"])


class Switch(Incoming):
    """What is stopped or goes on, and why."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"scope": "tool:webhook", "reason": "wrong receiver"}]}
    )

    scope: Line = Field(
        description="global (operators only), tenant:<id>, agent:<id>, tool:<name> or run:<id>"
    )
    reason: Line


class LiftIn(Switch, ClaimIn):
    """What goes on, why, and who says so."""

    confirm: str = Field(
        default="", max_length=200, description="The scope again; wanted in single-user mode"
    )


class LiftCodeIn(ClaimIn):
    """What is to go on, and who will say so in the form."""

    scope: Line


class LiftCodeOut(Outgoing):
    """By which code one reviewer may lift one stop in a form."""

    scope: str
    approver: str
    code: str


class StopOut(Outgoing):
    """A kill switch; in force while nobody lifted it."""

    tenant: str | None
    scope: str
    reason: str
    set_by: str
    set_at: datetime
    lifted_by: str | None
    lifted_at: datetime | None


@router.get("")
def list_stops(
    access: TaskReader,
    *,
    lifted: Annotated[bool, Query(description="Also those that were lifted")] = False,
) -> Page[StopOut]:
    """List what stops the tenant's work, newest first."""
    found = access.edge.services.stops.list(access.tenant, lifted=lifted)
    return Page[StopOut](items=[StopOut.model_validate(stop) for stop in found])


@router.post("", status_code=201)
def stop(body: Switch, access: Admin) -> StopOut:
    """Stop what the scope names; what is stopped already stays as it is."""
    _require_right(access, body.scope)
    made = access.edge.services.stops.set(
        access.tenant, body.scope, reason=body.reason, by=access.actor
    )
    return StopOut.model_validate(made)


@router.post("/lift")
def lift(body: LiftIn, access: Admin) -> StopOut:
    """Let what the scope names go on; once reviewers are enrolled, a second person has to."""
    _require_right(access, body.scope)
    lifted = access.edge.services.lifting.lift(
        access.tenant,
        body.scope,
        reason=body.reason,
        claim=claim_of(body, access),
        typed=body.confirm,
    )
    return StopOut.model_validate(lifted)


@router.post("/lift/code")
def code(body: LiftCodeIn, access: Reviewer) -> LiftCodeOut:
    """Return the code by which a reviewer may lift a stop in the form of the Prefect UI."""
    made = access.edge.services.lifting.code(access.tenant, body.scope, claim_of(body, access))
    return LiftCodeOut(scope=body.scope, approver=body.approver, code=made)


def _require_right(access: Access, scope: str) -> None:
    if scope == GLOBAL:
        access.caller.require("operator")
