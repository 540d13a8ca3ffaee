"""Backup sets as an operator sees them; flows and the command line make and restore them."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field

from dryad.api.auth import Operator, Reviewer
from dryad.api.shapes import ClaimIn, Line, Outgoing, Page, Ref, claim_of
from dryad.operations.backups.sets import Listed, State

router = APIRouter(prefix="/backups", tags=["operations"])


class SetOut(Outgoing):
    """A backup set: `state` `bad` and `foreign` say `why`; what cannot be read has no `kind`."""

    id: str
    state: State
    why: str
    kind: str = ""
    critical: bool = False
    reason: str = ""
    started: datetime | None = None
    verified: datetime | None
    sealed_bytes: int = 0
    targets: list[str]


class ConsentIn(ClaimIn):
    """Which run would replace everything, and who will say so in its form."""

    run: Line = Field(description="The flow run of restore-backup that waits")


class ConsentOut(Outgoing):
    """By which code one reviewer may consent, in the form of one run, to one set."""

    set: str
    run: str
    approver: str
    code: str


@router.get("")
def list_sets(access: Operator) -> Page[SetOut]:
    """List every backup set of every target, newest first."""
    return Page[SetOut](items=[_shown(one) for one in access.edge.services.backups.listed()])


@router.get("/{set_id}")
def show(set_id: Ref, access: Operator) -> SetOut:
    """Show one set, by its id, the beginning of it, or `newest`."""
    return _shown(access.edge.services.backups.find(set_id))


@router.post("/{set_id}/consent")
def consent(set_id: Ref, body: ConsentIn, access: Reviewer) -> ConsentOut:
    """Return the code by which a reviewer may let a run replace everything, in its form.

    The set is named as the form names it: whole. Whether there is one is the operators' affair.
    """
    made = access.edge.services.consents.code(body.run, set_id, claim_of(body, access))
    return ConsentOut(set=set_id, run=body.run, approver=body.approver, code=made)


def _shown(one: Listed) -> SetOut:
    shown = SetOut(
        id=one.id,
        state=one.state,
        why=one.why,
        verified=one.verified,
        targets=[target.name for target in one.targets],
    )
    manifest = one.manifest
    if manifest is None:
        return shown
    return shown.model_copy(
        update={
            "kind": manifest.kind,
            "critical": manifest.critical,
            "reason": manifest.reason,
            "started": manifest.started,
            "sealed_bytes": manifest.stored_bytes,
        }
    )
