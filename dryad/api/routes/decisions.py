"""Decisions: who does a task, why, and what would have changed it."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from dryad.api.auth import TaskReader
from dryad.api.shapes import Limit, Outgoing, Page, Ref
from dryad.orchestration.decision import Route

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


@router.get("/{decision_or_task}")
def show(decision_or_task: Ref, access: TaskReader) -> DecisionOut:
    """Show one decision, named by its own id or its task's."""
    found = access.edge.services.decisions.get(access.tenant, decision_or_task)
    return DecisionOut.model_validate(found)
