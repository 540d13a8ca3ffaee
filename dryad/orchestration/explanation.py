"""One decision as text a person reads: what was decided, why, and what would have changed it."""

from collections.abc import Iterable, Mapping
from typing import Any

ROUTES: Mapping[str, str] = {
    "sequential": "one agent after the other",
    "task_force": "a task force, side by side",
    "escalation": "a person first",
}
"""What each route means, in words."""


def explain(decision: Mapping[str, Any]) -> str:
    """Return a decision, as `Decisions.get` gives it, as plain text of several paragraphs."""
    complexity, limits = decision["complexity"], decision["thresholds"]
    situation = decision.get("situation", {})
    parts = [
        (
            f"{ROUTES[decision['route']].capitalize()} ({decision['route']})\n"
            f"decision {decision['id']} of task {decision['task']}, taken "
            f"{decision['created'][:19]} under policy version {decision['policy_version']}"
        ),
        _list("Why", decision["reasons"]),
        _list("What would have changed it", decision["would_change"]),
        _list("What was compared", _compared(decision, complexity, limits)),
        _list("The plan", _plan(decision)),
        *_revision(decision.get("revision")),
        _list("How complex the request is", map(_dimension, complexity["contributions"])),
    ]
    if capable := situation.get("capable"):
        parts.append(_list("Who could do it", (_choice(*item) for item in capable.items())))
    return "\n\n".join(parts)


def _compared(
    decision: Mapping[str, Any], complexity: Mapping[str, Any], limits: Mapping[str, Any]
) -> Iterable[str]:
    yield (
        f"complexity {decision['score']:.2f}: the chance that the request takes several steps; "
        f"a plan like this one says {complexity.get('plan_evidence', 0):.2f}"
    )
    yield f"several agents may work above {limits.get('task_force_above', 0.55)}"
    yield f"an unclear request goes to a person from {limits['escalate_above']}"
    yield f"riskiest tool: tier {decision['tier']}; a person from tier {limits['approval_tier']}"
    situation = decision.get("situation", {})
    if situation.get("tokens") is not None:
        yield f"budget left: {situation['tokens']:,} tokens for all agents together"
    planner = decision.get("planner")
    if planner:
        yield f"the plan was made by {planner['by']}" + (
            f" ({planner['refused']})" if planner.get("refused") else ""
        )


def _plan(decision: Mapping[str, Any]) -> Iterable[str]:
    seats = {step: seat["member"] for seat in decision["seats"] for step in seat["steps"]}
    for step in decision["plan"]:
        text = " ".join(step["text"].split())
        waits = f", after {', '.join(step['after'])}" if step["after"] else ""
        tools = ", ".join(step["tools"]) or "no tool"
        yield f"{step['id']}: {text}\n      {seats.get(step['id'], 'nobody')}, {tools}{waits}"


def _revision(revision: Mapping[str, Any] | None) -> Iterable[str]:
    if revision is not None:
        yield (
            f"What {revision['by']} changed in the plan (question {revision['case']})\n"
            f"{revision['difference']}"
        )


def _dimension(part: Mapping[str, Any]) -> str:
    return f"{part['dimension']:<16} {part['value']:4.2f}  {part['share']:+.2f}  {part['reason']}"


def _choice(capability: str, choice: Mapping[str, Any]) -> str:
    others = f"; then {', '.join(choice['others'])}" if choice["others"] else ""
    return f"{capability}: {choice['agent']} (reliability {choice['reliability']:.2f}){others}"


def _list(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, *(f"  - {line}" for line in lines)])
