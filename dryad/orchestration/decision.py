"""Who does a task: one agent, a task force, or a person first; with reasons a person can read."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from sqlalchemy import func, select

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import DecisionRow
from dryad.foundation.errors import NotFound
from dryad.foundation.ids import TaskId, TenantId, new_id
from dryad.foundation.policies import Policy
from dryad.foundation.tools import TIERS, Tier
from dryad.orchestration.complexity import Complexity
from dryad.orchestration.plan import Plan

Route = Literal["sequential", "task_force", "escalation"]


@dataclass(frozen=True)
class Seat:
    """An agent's part: which steps of the plan it works on, and which seats it waits for."""

    member: str
    agent: str
    steps: tuple[str, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Who does the task, why, and what would have changed it."""

    route: Route
    seats: tuple[Seat, ...]
    """Who works once nobody has to be asked (any more); empty when no agent can."""
    score: float
    tier: Tier
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    policy_version: int
    details: dict[str, Any]


def decide(
    plan: Plan,
    complexity: Complexity,
    tier: Tier,
    *,
    policy: Policy,
    capable: Mapping[str, str],
    named_agent: str = "",
) -> Decision:
    """Choose who does a task.

    Args:
        plan: What the task comes down to.
        complexity: Its score and parts.
        tier: Highest risk tier of the plan's tools.
        policy: The tenant's policy in force.
        capable: Capability → the best agent that has it now; absent when there is none.
        named_agent: The agent the requester asked for; it works alone.
    """
    seats = _seats(plan, capable, named_agent)
    missing = () if named_agent else tuple(sorted(plan.capabilities - set(capable)))
    risky = TIERS.index(tier) >= TIERS.index(policy.approval_tier)
    too_complex = complexity.score >= policy.escalate_above
    asks = [
        (risky, (f"the plan uses a tool of tier {tier}; policy asks a person from "
                f"{policy.approval_tier} upward")),
        (too_complex, f"score {complexity.score} is at or above {policy.escalate_above}"),
        (bool(missing), f"no active agent can do: {', '.join(missing)}"),
    ]  # fmt: skip
    reasons = [reason for holds, reason in asks if holds]
    parallel = sum(not seat.after for seat in seats)
    route: Route = "escalation" if reasons else "task_force" if parallel > 1 else "sequential"
    if parallel > 1:
        reasons.append(f"the plan has {parallel} branches that need not wait for each other")
    elif named_agent:
        reasons.append(f"the requester named agent {named_agent}")
    else:
        reasons.append("the plan is one line of work: more agents would only wait for each other")
    return Decision(
        route=route,
        seats=seats,
        score=complexity.score,
        tier=tier,
        reasons=tuple(reasons),
        would_change=_would_change(route, risky, policy, complexity, parallel),
        policy_version=policy.version,
        details={
            "complexity": complexity.to_json(),
            "plan": plan.to_json(),
            "thresholds": {
                "approval_tier": policy.approval_tier,
                "escalate_above": policy.escalate_above,
            },
        },
    )


def sole_agent(decision: Mapping[str, Any] | None) -> str:
    """Return the one agent that does a task by a recorded decision, or '' when several do."""
    seats: Sequence[Mapping[str, Any]] = decision["seats"] if decision else ()
    return str(seats[0]["agent"]) if len(seats) == 1 else ""


def _seats(plan: Plan, capable: Mapping[str, str], named_agent: str) -> tuple[Seat, ...]:
    if named_agent:
        return (Seat(named_agent, named_agent, tuple(step.id for step in plan.steps)),)
    seats: list[Seat] = []
    seat_of: dict[str, str] = {}
    for step in plan.steps:
        agent = capable.get(step.capability)
        if agent is None:
            continue
        waits = tuple(dict.fromkeys(seat_of[e] for e in step.after if e in seat_of))
        last = next((seat for seat in seats if (seat.member,) == waits), None)
        if last is not None and last.agent == agent:
            seats[seats.index(last)] = replace(last, steps=(*last.steps, step.id))
            seat_of[step.id] = last.member
            continue
        member = f"{agent}-{len(seats) + 1}"
        seats.append(Seat(member, agent, (step.id,), waits))
        seat_of[step.id] = member
    return tuple(seats)


def _would_change(
    route: Route, risky: bool, policy: Policy, complexity: Complexity, parallel: int
) -> tuple[str, ...]:
    changes: list[str] = []
    if risky:
        changes.append("without that tool, or with a higher approval tier, nobody would be asked")
    elif route != "escalation":
        changes.append(f"a tool of tier {policy.approval_tier} or above would ask a person")
    if route == "escalation":
        return tuple(changes)
    distance = round(policy.escalate_above - complexity.score, 3)
    changes.append(f"a score {distance} higher would ask a person")
    if parallel <= 1:
        changes.append("an independent second piece of work would make it a task force")
    return tuple(changes)


class Decisions:
    """The decisions that were taken, for ever."""

    def __init__(self, database: Database, audit: Audit, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def store(self, tenant: TenantId, task: TaskId, decision: Decision) -> str:
        """Keep and audit a decision; a task has one, so storing again returns the first's id."""
        with self._database.transaction() as session:
            earlier = session.scalar(select(DecisionRow.id).where(DecisionRow.task == task))
            if earlier is not None:
                return earlier
            row = DecisionRow(
                id=new_id("dec"),
                tenant=tenant,
                task=task,
                route=decision.route,
                score=decision.score,
                tier=decision.tier,
                reasons=list(decision.reasons),
                assessment={
                    **decision.details,
                    "seats": [asdict(seat) for seat in decision.seats],
                    "would_change": list(decision.would_change),
                },
                policy_version=decision.policy_version,
                created=self._clock(),
            )
            session.add(row)
            self._audit.append(
                tenant,
                "decided",
                actor="decision-engine",
                subject=task,
                data={
                    "decision": row.id,
                    "route": row.route,
                    "score": row.score,
                    "tier": row.tier,
                    "reasons": row.reasons,
                    "policy_version": row.policy_version,
                },
                session=session,
            )
            return row.id

    def get(self, tenant: TenantId, decision_or_task: str) -> dict[str, Any]:
        """Return one decision by its own id or its task's.

        Raises:
            NotFound: there is none of that id in the tenant.
        """
        with self._database.reading() as session:
            row = session.scalar(
                select(DecisionRow).where(
                    DecisionRow.tenant == tenant,
                    (DecisionRow.id == decision_or_task) | (DecisionRow.task == decision_or_task),
                )
            )
            if row is None:
                raise NotFound(f"no decision {decision_or_task}")
            return _as_json(row)

    def of_task(self, tenant: TenantId, task: TaskId) -> dict[str, Any] | None:
        """Return the decision of a task, or None before there is one."""
        try:
            return self.get(tenant, task)
        except NotFound:
            return None

    def list(self, tenant: TenantId, *, limit: int = 50) -> list[dict[str, Any]]:
        """Return the newest decisions first."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(DecisionRow)
                .where(DecisionRow.tenant == tenant)
                .order_by(DecisionRow.created.desc(), DecisionRow.id.desc())
                .limit(limit)
            )
            return [_as_json(row) for row in rows]

    def statistics(self, tenant: TenantId) -> dict[str, Any]:
        """Return totals by route and the mean score."""
        with self._database.reading() as session:
            rows = session.execute(
                select(DecisionRow.route, func.count(), func.avg(DecisionRow.score))
                .where(DecisionRow.tenant == tenant)
                .group_by(DecisionRow.route)
            ).all()
        total = sum(count for _, count, _ in rows)
        mean = sum(count * float(average) for _, count, average in rows) / total if total else None
        return {
            "total": total,
            "by_route": {route: count for route, count, _ in rows},
            "mean_score": None if mean is None else round(mean, 3),
        }


def _as_json(row: DecisionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "task": row.task,
        "route": row.route,
        "score": row.score,
        "tier": row.tier,
        "reasons": row.reasons,
        "policy_version": row.policy_version,
        "created": row.created.isoformat(),
        **row.assessment,
    }
