"""What happened to a task, moment by moment: submitted, planned, decided, asked, said, ended."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dryad.orchestration.explanation import ROUTES
from dryad.orchestration.review.questions import Case
from dryad.orchestration.tasks import Task


@dataclass(frozen=True)
class Moment:
    """One thing that happened; `what` may hold words of others."""

    at: datetime
    what: str

    @property
    def shown(self) -> str:
        """The time in UTC, to the millisecond."""
        return self.at.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def timeline(
    task: Task,
    decision: Mapping[str, Any] | None,
    cases: Sequence[Case],
    force: Mapping[str, Any] | None,
) -> list[Moment]:
    """Return what happened to a task, in order.

    Args:
        task: The task.
        decision: As `Decisions.get` returns it; None when it ended before one was taken.
        cases: Everything that was asked about it.
        force: Its task force, as `TaskForces.of_task` returns it, if it had one.
    """
    moments = [Moment(task.created, f"submitted by {task.requester}")]
    if decision is not None:
        moments += _decided(decision)
    for case in cases:
        moments.append(Moment(case.created, f"question {case.id} asked: {case.title}"))
        if (said := case.verdict) is not None:
            what = f"question {case.id} answered: {said.decision} by {said.by}"
            moments.append(Moment(datetime.fromisoformat(said.at), what))
    if force is not None:
        moments += [
            Moment(datetime.fromisoformat(said["created"]), f"{said['member']}: {said['kind']}")
            for said in force["messages"]
        ]
    if task.finished is not None:
        moments.append(Moment(task.finished, f"ended: {task.status}"))
    return sorted(moments, key=lambda moment: moment.at)


def _decided(decision: Mapping[str, Any]) -> Iterator[Moment]:
    """Yield the parts of a decision in the order in which they were made, all at its time."""
    at = datetime.fromisoformat(decision["created"])
    planner = decision.get("planner", {}).get("by", "rules")
    yield Moment(at, f"planned by {planner}: steps {', '.join(s['id'] for s in decision['plan'])}")
    yield Moment(at, f"scored: complexity {decision['score']:.2f}, risk tier {decision['tier']}")
    yield Moment(at, f"decided: {ROUTES[decision['route']]}, for {decision['reasons'][0]}")
