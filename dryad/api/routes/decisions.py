"""Decisions: who does a task, why, and what would have changed it."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from dryad.api.auth import Admin, TaskReader
from dryad.api.routes.policies import PolicyOut
from dryad.api.shapes import Incoming, Limit, Outgoing, Page, Prose, Ref
from dryad.orchestration.decision import Route
from dryad.orchestration.recalibration import Label

router = APIRouter(prefix="/decisions", tags=["decisions"])


class DecisionOut(Outgoing):
    """One decision; beside these fields the plan, the thresholds and the seats."""

    model_config = ConfigDict(extra="allow")

    id: str
    task: str
    route: Route
    score: float
    tier: str
    reasons: list[str]
    would_change: list[str] = Field(default=[])
    policy_version: int
    created: datetime


class Statistics(Outgoing):
    """How a tenant's tasks were routed."""

    total: int
    by_route: dict[str, int]
    mean_score: float | None
    answered: int = Field(description="Escalations a person answered, or left to the deadline")
    overridden: int = Field(description="Of these, not carried out as planned")
    override_rate: float | None
    known: int = Field(description="Decisions whose task ended by itself")
    regretted: int = Field(description="Of these, begun without asking and ended by rule or fault")
    regret_rate: float | None


class LabelIn(Incoming):
    """Whether a request really took several steps."""

    several: bool
    decision: str = Field(default="", max_length=64, description="A decision, or its task")
    text: Prose = Field(default="", description="Or the request itself")


class Labels(Incoming):
    """A tenant's own labelled decisions."""

    labels: list[LabelIn] = Field(max_length=1_000)
    apply: bool = Field(default=True, description="False: say what it would be, change nothing")


class Recalibrated(Outgoing):
    """What labels said, and the policy in force after it."""

    slope: float
    offset: float
    threshold: float
    labels: int
    ece_before: float
    ece_after: float
    policy_version: int


@router.get("")
def list_decisions(access: TaskReader, limit: Limit = 50) -> Page[DecisionOut]:
    """List the tenant's decisions, newest first."""
    found = access.edge.services.decisions.list(access.tenant, limit=limit)
    return Page[DecisionOut](items=[DecisionOut.model_validate(item) for item in found])


@router.get("/statistics")
def statistics(access: TaskReader) -> Statistics:
    """Add the tenant's decisions up."""
    found: dict[str, Any] = access.edge.services.decisions.statistics(access.tenant)
    return Statistics.model_validate(found)


@router.post("/recalibration")
def recalibrate(body: Labels, access: Admin) -> Recalibrated:
    """Fit the tenant's scores to its labels: a new version of its policy."""
    made = access.edge.services.recalibrations.refit(
        access.tenant,
        [Label(**label.model_dump()) for label in body.labels],
        author=access.actor,
        apply=body.apply,
    )
    return Recalibrated.model_validate(made.to_json())


@router.post("/recalibration/undo")
def undo_recalibration(access: Admin) -> PolicyOut:
    """Put the calibration before the present one in force again."""
    undone = access.edge.services.recalibrations.undo(access.tenant, author=access.actor)
    return PolicyOut.model_validate(undone)


@router.get("/{decision_or_task}")
def show(decision_or_task: Ref, access: TaskReader) -> DecisionOut:
    """Show one decision, named by its own id or its task's."""
    found = access.edge.services.decisions.get(access.tenant, decision_or_task)
    return DecisionOut.model_validate(found)
