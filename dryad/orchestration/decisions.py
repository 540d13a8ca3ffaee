"""The decisions that were taken, for ever: kept, audited, counted, and measured by what came."""

from collections import Counter
from dataclasses import asdict
from typing import Any, cast

import orjson
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dryad.foundation.audit import Audit
from dryad.foundation.canonical import canonical_json
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import CaseRow, DecisionRow, TaskRow
from dryad.foundation.errors import NotFound
from dryad.foundation.ids import TaskId, TenantId, new_id
from dryad.foundation.tools import Tier
from dryad.orchestration.decision import Decision, Route, Seat

ENGINE = "decision-engine"
"""Who decides, in the audit; and who asks when a person decides first."""


class Decisions:
    """Every decision of the installation."""

    def __init__(self, database: Database, audit: Audit, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def store(self, tenant: TenantId, task: TaskId, decision: Decision) -> Decision:
        """Keep and audit a decision, and count to the task what its planner used.

        A task has one decision, so storing another returns the first and counts nothing.
        """
        with self._database.transaction() as session:
            earlier = session.scalar(select(DecisionRow).where(DecisionRow.task == task))
            if earlier is not None:
                return _decision(earlier)
            row = DecisionRow(
                id=new_id("dec"),
                tenant=tenant,
                task=task,
                route=decision.route,
                score=decision.score,
                tier=decision.tier,
                reasons=list(decision.reasons),
                assessment=_assessment(decision),
                policy_version=decision.policy_version,
                created=self._clock(),
            )
            session.add(row)
            _count_planning(session, task, decision)
            self._audit.append(
                tenant,
                "decided",
                actor=ENGINE,
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
            return _decision(row)

    def revise(self, tenant: TenantId, task: TaskId, revised: Decision) -> Decision:
        """Put a decision with an edited plan in place of the one kept; that one stays beside it.

        Done twice for the same case it is done once.

        Args:
            tenant: Whose task it is.
            task: The task.
            revised: Its `details["revision"]` names the case in which a person allowed the plan.
        """
        revision = revised.details["revision"]
        with self._database.transaction() as session:
            row = session.scalars(
                select(DecisionRow).where(DecisionRow.task == task).with_for_update()
            ).one()
            if row.assessment.get("revision", {}).get("case") == revision["case"]:
                return _decision(row)
            before = {name: row.assessment.get(name) for name in ("plan", "seats", "revision")}
            earlier = [
                *row.assessment.get("earlier", ()),
                {**before, "score": row.score, "tier": row.tier, "reasons": row.reasons},
            ]
            row.route, row.score, row.tier = revised.route, revised.score, revised.tier
            row.reasons, row.policy_version = list(revised.reasons), revised.policy_version
            row.assessment = {**_assessment(revised), "earlier": earlier}
            self._audit.append(
                tenant,
                "decision_revised",
                actor=revision["by"],
                subject=task,
                data={
                    "decision": row.id,
                    "case": revision["case"],
                    "tier": row.tier,
                    "score": row.score,
                    "asks": revision["asks"],
                    "policy_version": row.policy_version,
                },
                session=session,
            )
            return _decision(row)

    def kept(self, task: TaskId) -> Decision | None:
        """Return the decision of a task as it was taken, or None before there is one."""
        with self._database.reading() as session:
            row = session.scalar(select(DecisionRow).where(DecisionRow.task == task))
            return None if row is None else _decision(row)

    def at_work(self, tenant: TenantId) -> Counter[str]:
        """Return how many running tasks each agent has a seat in."""
        query = (
            select(DecisionRow.assessment["seats"])
            .join(TaskRow, TaskRow.id == DecisionRow.task)
            .where(DecisionRow.tenant == tenant, TaskRow.status == "running")
        )
        with self._database.reading() as session:
            tasks = session.scalars(query).all()
        return Counter(agent for seats in tasks for agent in {seat["agent"] for seat in seats})

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
                raise NotFound(f"no decision {decision_or_task[:80]}", "Run `dryad decisions`.")
            return _as_json(row)

    def of_task(self, tenant: TenantId, task: TaskId) -> dict[str, Any] | None:
        """Return the decision of a task, or None before there is one."""
        try:
            return self.get(tenant, task)
        except NotFound:
            return None

    def statistics(self, tenant: TenantId) -> dict[str, Any]:
        """Return totals by route, the mean score, and how the decisions turned out.

        `override_rate` is the share of answered escalations in which a person did not let the plan
        be carried out as it was. `regret_rate` is the share of decisions with a known outcome that
        turned out wrong: work begun without asking that a rule or a fault ended.
        """
        with self._database.reading() as session:
            rows = session.execute(
                select(DecisionRow.route, func.count(), func.avg(DecisionRow.score))
                .where(DecisionRow.tenant == tenant)
                .group_by(DecisionRow.route)
            ).all()
            ends = session.execute(
                select(DecisionRow.route, TaskRow.status, func.count())
                .join(TaskRow, TaskRow.id == DecisionRow.task)
                .where(DecisionRow.tenant == tenant, TaskRow.status.in_(_KNOWN))
                .group_by(DecisionRow.route, TaskRow.status)
            ).all()
            verdicts = session.scalars(
                select(CaseRow.verdict).where(
                    CaseRow.tenant == tenant,
                    CaseRow.member == ENGINE,
                    CaseRow.status.in_(("resolved", "expired")),
                )
            ).all()
        total = sum(count for _, count, _ in rows)
        mean = sum(count * float(average) for _, count, average in rows) / total if total else None
        answers = [verdict["decision"] for verdict in verdicts if verdict]
        overridden = sum(word != "approve" for word in answers)
        known = sum(count for _, _, count in ends)
        regretted = sum(
            count
            for route, status, count in ends
            if route != "escalation" and status in {"refused", "failed"}
        )
        return {
            "total": total,
            "by_route": {route: count for route, count, _ in rows},
            "mean_score": None if mean is None else round(mean, 3),
            "answered": len(answers),
            "overridden": overridden,
            "override_rate": _rate(overridden, len(answers)),
            "known": known,
            "regretted": regretted,
            "regret_rate": _rate(regretted, known),
        }

    # -- last, because its name hides the builtin below it

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


_KNOWN = ("done", "refused", "rejected", "expired", "failed")
"""Ends of a task that say how its decision turned out."""


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def _count_planning(session: Session, task: TaskId, decision: Decision) -> None:
    planner = decision.details.get("planner")
    if planner and planner["tokens"]:  # rules use none, and then nothing has to be written
        session.execute(
            update(TaskRow)
            .where(TaskRow.id == task)
            .values(
                tokens=TaskRow.tokens + planner["tokens"],
                cost_usd=TaskRow.cost_usd + planner["cost_usd"],
            )
        )


def _assessment(decision: Decision) -> dict[str, Any]:
    """Return a decision's details as they are kept."""
    return orjson.loads(
        canonical_json(
            {
                **decision.details,
                "seats": [asdict(seat) for seat in decision.seats],
                "would_change": decision.would_change,
            }
        )
    )


def _decision(row: DecisionRow) -> Decision:
    """Read a decision as it was taken."""
    details = dict(row.assessment)
    seats, would_change = details.pop("seats"), details.pop("would_change")
    return Decision(
        route=cast("Route", row.route),
        seats=tuple(
            Seat(s["member"], s["agent"], tuple(s["steps"]), tuple(s["after"])) for s in seats
        ),
        score=row.score,
        tier=cast("Tier", row.tier),
        reasons=tuple(row.reasons),
        would_change=tuple(would_change),
        policy_version=row.policy_version,
        details=details,
    )


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
