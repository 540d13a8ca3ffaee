"""Policies: when a person must be asked, version by version."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path

from dryad.api.auth import Admin, TaskReader
from dryad.api.shapes import Outgoing, Page
from dryad.foundation.policies import PolicyDocument

router = APIRouter(prefix="/policies", tags=["policies"])

Version = Annotated[int, Path(ge=0, lt=2**31, description="0 is what is built in")]


class PolicyOut(PolicyDocument, Outgoing):
    """A policy in force, or once in force."""

    version: int
    author: str
    created: datetime | None


@router.get("")
def list_policies(access: TaskReader) -> Page[PolicyOut]:
    """List every version, the one in force first."""
    found = access.edge.services.policies.list(access.tenant)
    return Page[PolicyOut](items=[PolicyOut.model_validate(policy) for policy in found])


@router.get("/current")
def current(access: TaskReader) -> PolicyOut:
    """Show the policy in force."""
    return PolicyOut.model_validate(access.edge.services.policies.current(access.tenant))


@router.get("/{version}")
def show(version: Version, access: TaskReader) -> PolicyOut:
    """Show one version."""
    return PolicyOut.model_validate(access.edge.services.policies.get(access.tenant, version))


@router.put("/current")
def put(body: PolicyDocument, access: Admin) -> PolicyOut:
    """Put a whole document in force as the next version; an equal one makes none."""
    made = access.edge.services.policies.set(
        access.tenant, body.model_dump(mode="json"), author=access.actor
    )
    return PolicyOut.model_validate(made)
