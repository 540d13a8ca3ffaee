"""Backup sets as an operator sees them; flows and the command line make and restore them."""

from datetime import datetime

from fastapi import APIRouter

from dryad.api.auth import Operator
from dryad.api.shapes import Outgoing, Page, Ref
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


@router.get("")
def list_sets(access: Operator) -> Page[SetOut]:
    """List every backup set of every target, newest first."""
    return Page[SetOut](items=[_shown(one) for one in access.edge.services.backups.listed()])


@router.get("/{set_id}")
def show(set_id: Ref, access: Operator) -> SetOut:
    """Show one set, by its id, the beginning of it, or `newest`."""
    return _shown(access.edge.services.backups.find(set_id))


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
