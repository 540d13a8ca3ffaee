"""The report of a task as markdown: what was asked, who did it and why, the answer, its sources.

Everything that people or agents wrote stands quoted or escaped, as in a brief.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dryad.orchestration.review.brief import inline, quoted
from dryad.orchestration.review.questions import Case
from dryad.orchestration.tasks import Task


def report(task: Task, decision: Mapping[str, Any] | None, cases: Sequence[Case]) -> str:
    """Return the report of an ended task.

    Args:
        task: As it ended.
        decision: As `Decisions.get` returns it; None when it ended before one was taken.
        cases: Everything that was asked about it.
    """
    parts = [
        f"# {_HEADLINES.get(task.status, task.status.capitalize())}",
        f"Task `{task.id}` · tenant `{task.tenant}` · requested by {inline(task.requester)}",
        "## The question",
        quoted(task.text),
    ]
    if decision is not None:
        parts += _decision(decision)
    if cases:
        parts += ["## What a person decided", *(_case(case) for case in cases)]
    if task.result is not None:
        parts += _result(task.result)
    if task.reason:
        parts += ["## Why it ended so", quoted(task.reason)]
    return "\n\n".join(parts)


def decision_table(decision: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the decision as the rows of a table, every cell formatted."""
    return [
        {
            "step": step["text"][:200],
            "needs": step["capability"],
            "may use": ", ".join(step["tools"]),
            "waits for": ", ".join(step["after"]),
            "done by": ", ".join(
                seat["member"] for seat in decision["seats"] if step["id"] in seat["steps"]
            ),
        }
        for step in decision["plan"]
    ]


_HEADLINES = {
    "done": "Done",
    "refused": "Refused by a rule",
    "rejected": "Rejected by a person",
    "expired": "Expired: nobody answered in time",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


def _decision(decision: Mapping[str, Any]) -> list[str]:
    names = {
        "sequential": "one agent after the other",
        "task_force": "a task force, side by side",
        "escalation": "a person first",
    }
    reasons = "\n".join(f"- {inline(reason)}" for reason in decision["reasons"])
    changes = "\n".join(f"- {inline(change)}" for change in decision["would_change"])
    parts = decision["complexity"]["contributions"]
    rows = "\n".join(
        f"| {part['dimension']} | {part['value']:.2f} | {part['share']:.2f} | "
        f"{inline(part['reason'])} |"
        for part in parts
    )
    return [
        "## Who did it, and why",
        (
            f"**{names[decision['route']]}** · complexity {decision['score']:.2f} · "
            f"riskiest tool `{decision['tier']}` · policy version {decision['policy_version']}"
        ),
        reasons,
        f"What would have changed this:\n\n{changes}",
        f"| dimension | value | share | reason |\n|---|---|---|---|\n{rows}",
    ]


def _case(case: Case) -> str:
    verdict = case.verdict
    if verdict is None:
        return f"- Question {case.id}: {inline(case.title)} is {case.status}"
    said = f"**{verdict.decision}** by {inline(verdict.by)} (via {verdict.via}, {verdict.at})"
    reply = f"; reply: {inline(verdict.reply)}" if verdict.reply else ""
    return f"- Question {case.id}: {inline(case.title)} → {said}: {inline(verdict.reason)}{reply}"


def _result(result: Mapping[str, Any]) -> list[str]:
    parts = ["## The answer"]
    if result["degraded"]:
        parts.append(f"> Degraded: {inline(result['degraded'])}")
    parts.append(quoted(result["answer"]))
    if result["citations"]:
        sources = "\n".join(
            f"| {number} | {inline(source['title'])} | {inline(source['section'])} | "
            f"{inline(source['origin'])} | {source['start']} to {source['stop']} | "
            f"{source['provenance']} |"
            for number, source in enumerate(result["citations"], start=1)
        )
        head = (
            "| | document | section | origin | characters | provenance |\n|---|---|---|---|---|---|"
        )
        parts += ["### Sources", f"{head}\n{sources}"]
    if result["work"]:
        rows = "\n".join(_work(work) for work in result["work"])
        head = "| member | agent | tools | tokens | cost USD |\n|---|---|---|---|---|"
        parts += ["### What each agent did", f"{head}\n{rows}"]
    return parts


def _work(work: Mapping[str, Any]) -> str:
    tools = ", ".join(
        f"{use['tool']} {use['seconds']:.2f} s ({inline(use['outcome'])})" for use in work["tools"]
    )
    return (
        f"| {inline(work['member'])} | {inline(work['agent'])} | {tools or 'none'} | "
        f"{work['tokens']} | {work['cost_usd']:.4f} |"
    )
