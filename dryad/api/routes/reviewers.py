"""Reviewers: who may answer questions. For operators, and never the way back to a single user."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from dryad.api.auth import Operator, Reviewer
from dryad.api.shapes import Incoming, Line, Name, Outgoing, Page, Ref
from dryad.orchestration.review.reviewers import ALL, Enrolment, Status

router = APIRouter(prefix="/reviewers", tags=["reviewers"])


class ReviewerIn(Incoming):
    """A person who may answer from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "ada", "roles": ["chief"]}]})

    id: Name
    name: str = Field(default="", max_length=200)
    roles: list[Name] = Field(default=[], max_length=50, description="What policies may ask for")
    tenants: list[Line] = Field(
        default=[ALL], min_length=1, description="Whose questions are theirs; * for all"
    )
    keys: list[Line] = Field(
        default=[], max_length=50, description="API keys they work with: what these ask for, "
        "they never approve"
    )  # fmt: skip


class StatusIn(Incoming):
    """Whether a reviewer's answers count."""

    status: Status


class ReviewerOut(Outgoing):
    """A reviewer; the seed of the codes is never shown again."""

    id: str
    name: str
    roles: list[str]
    tenants: list[str]
    keys: list[str]
    status: Status
    failures: int = Field(description="Wrong codes since the last right one")
    wait_until: datetime | None
    created_by: str
    created: datetime


class EnrolmentOut(Outgoing):
    """A reviewer just enrolled, and the address of the seed, shown this once."""

    reviewer: ReviewerOut
    uri: str = Field(description="otpauth://totp/…: show it as a QR code to their authenticator")


class ModeOut(Outgoing):
    """Whether anybody is enrolled."""

    single_user: bool = Field(description="Everybody who answers is unverified")


class QualityOut(Outgoing):
    """What one reviewer decided."""

    reviewer: str
    decisions: int
    approval_rate: float
    override_rate: float = Field(description="Share of edit and reject")
    median_seconds: float
    rubber_stamp: bool = Field(description="Nearly all allowed, faster than it can be read")


@router.get("")
def list_reviewers(access: Operator) -> Page[ReviewerOut]:
    """List every reviewer."""
    found = access.edge.services.reviewers.list()
    return Page[ReviewerOut](items=[ReviewerOut.model_validate(one) for one in found])


@router.get("/mode")
def mode(access: Reviewer) -> ModeOut:
    """Say whether answers are verified here."""
    return ModeOut(single_user=access.edge.services.reviewers.single_user())


@router.get("/quality")
def quality(
    access: Reviewer,
    days: Annotated[int, Query(ge=1, le=365, description="How far back is looked")] = 30,
) -> Page[QualityOut]:
    """Show how the tenant's questions were answered, by whom, and who only stamps."""
    found = access.edge.services.reviews.quality(access.tenant, within=timedelta(days=days))
    return Page[QualityOut](items=[QualityOut.model_validate(one) for one in found])


@router.post("", status_code=201)
def add(body: ReviewerIn, access: Operator) -> EnrolmentOut:
    """Enrol a reviewer; the first one ends single-user mode for good."""
    made = access.edge.services.reviewers.add(**body.model_dump(), by=access.actor)
    return _shown(made)


@router.post("/{reviewer}/renew")
def renew(reviewer: Ref, access: Operator) -> EnrolmentOut:
    """Give a reviewer a new seed; the old codes count no longer."""
    return _shown(access.edge.services.reviewers.renew(reviewer, by=access.actor))


@router.put("/{reviewer}/status")
def set_status(reviewer: Ref, body: StatusIn, access: Operator) -> ReviewerOut:
    """Let a reviewer's answers count, or not."""
    found = access.edge.services.reviewers.set_status(reviewer, body.status, by=access.actor)
    return ReviewerOut.model_validate(found)


def _shown(made: Enrolment) -> EnrolmentOut:
    return EnrolmentOut(reviewer=ReviewerOut.model_validate(made.reviewer), uri=made.uri)
