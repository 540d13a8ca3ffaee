"""Policies: when a person must be asked, version by version."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from dryad.api.auth import Admin, TaskReader
from dryad.api.shapes import Incoming, Line, Outgoing, Page
from dryad.foundation.approval_rules import CALL, Act, Need
from dryad.foundation.policies import PolicyDocument
from dryad.foundation.tool_rules import Tier

router = APIRouter(prefix="/policies", tags=["policies"])

Version = Annotated[int, Path(ge=0, lt=2**31, description="0 is what is built in")]


class PolicyOut(PolicyDocument, Outgoing):
    """A policy in force, or once in force."""

    version: int
    author: str
    created: datetime | None


class ActIn(Incoming):
    """Something that might happen."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tier": "external"}]})

    tier: Tier
    action: Line = CALL
    tool: str = Field(default="", max_length=64)
    agent: str = Field(default="", max_length=64)
    requester: str = Field(default="", max_length=200, description="`ui:unverified`, `key:<id>`")
    document: PolicyDocument | None = Field(
        default=None, description="The policy to try; default the one in force"
    )


class RequirementOut(Outgoing):
    """What a policy wants before it happens."""

    need: Need
    approvers: int
    role: str
    why: str


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


@router.post("/test")
def try_policy(body: ActIn, access: TaskReader) -> RequirementOut:
    """Say what would be wanted before an act, by the policy in force or by another; nothing is set.

    Whether the agent may call the tool at all is a matter of its grants, not of the policy.
    """
    policy = body.document or access.edge.services.policies.current(access.tenant)
    act = Act(**body.model_dump(exclude={"document"}))
    return RequirementOut.model_validate(policy.judge(act))
