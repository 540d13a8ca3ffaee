"""The report of a task as markdown: what was asked, who did it and why, the answer, its sources.

What people or agents wrote keeps its paragraphs, lists and code; everything else in it is text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dryad.orchestration.explanation import ROUTES
from dryad.orchestration.review.questions import Case
from dryad.orchestration.review.quoting import inline, prose, quoted
from dryad.orchestration.tasks import Task
from dryad.orchestration.timeline import timeline


def report(
    task: Task,
    decision: Mapping[str, Any] | None,
    cases: Sequence[Case],
    force: Mapping[str, Any] | None = None,
) -> str:
    """Return the report of an ended task, the answer first.

    Args:
        task: As it ended.
        decision: As `Decisions.get` returns it; None when it ended before one was taken.
        cases: Everything that was asked about it.
        force: Its task force, as `TaskForces.of_task` returns it, if it had one.
    """
    parts = [
        f"# {_HEADLINES.get(task.status, task.status.capitalize())}",
        f"Task `{task.id}` · tenant `{task.tenant}` · requested by {inline(task.requester)}",
        "## The task",
        prose(task.text),
    ]
    if task.reason:
        parts += ["## Why it ended so", prose(task.reason)]
    if task.result is not None and (task.status == "done" or task.result["answer"]):
        parts += _answer(task.result)
    if cases:
        parts += ["## What a person decided", "\n".join(_case(case) for case in cases)]
    if decision is not None:
        parts += _decision(decision)
    if task.result is not None and task.result["work"]:
        parts += ["## What each agent did", _table(_WORK, map(_work, task.result["work"]))]
    if task.result is not None and task.result.get("ladder"):
        parts += ["## What was doubted", _table(_LADDER, map(_rung, task.result["ladder"]))]
    if task.result is not None and (critique := task.result.get("critique")):
        parts += _critic(critique)
    if force is not None:
        parts += ["## What the task force said", _table(_LOG, map(_message, force["messages"]))]
    moments = timeline(task, decision, cases, force)
    parts += ["## When", _table(_WHEN, ([one.shown, inline(one.what)] for one in moments))]
    return "\n\n".join(parts)


_SHOWN = 300
"""Characters of one message a report shows; the whole is in the API."""

_HEADLINES = {
    "done": "Done",
    "refused": "Refused by a rule",
    "rejected": "Rejected by a person",
    "expired": "Expired: nobody answered in time",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
_SOURCE = ("", "document", "section", "origin", "provenance")
_STEP = ("", "step", "may use", "waits for", "done by")
_LADDER = ("whose answer", "what spoke against it", "who was asked", "what came of it")
_LOG = ("", "member", "kind", "what")
_WHEN = ("UTC", "what happened")
_DIMENSION = ("dimension", "value", "share", "reason")
_WORK = ("member", "agent", "tools", "time", "tokens", "cost USD")


def _rung(rung: Mapping[str, Any]) -> list[str]:
    who = f"{rung['step']} {rung['by']}".strip()
    return [inline(rung["member"]), inline("; ".join(rung["doubts"])), inline(who),
            inline(rung["outcome"])]  # fmt: skip


def _critic(critique: Mapping[str, Any]) -> list[str]:
    """Say what a critic did, when one was asked."""
    if critique["refused"]:
        return [f"A critic was of no use: {inline(critique['refused'])}"]
    objected = ", ".join(map(inline, critique["objections"])) or "nobody"
    return [f"A critic, {inline(critique['by'])}, objected to: {objected}"] * bool(critique["by"])


def _message(said: Mapping[str, Any]) -> list[str]:
    told = _told({key: value for key, value in said["content"].items() if key != "turn"})
    shown = told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"
    return [str(said["sequence"]), inline(said["member"]), said["kind"], inline(shown)]


def _told(content: Mapping[str, Any]) -> str:
    """Say a message in words; one of no known shape as JSON."""
    match content:
        case {"text": str(text)}:
            return text
        case {"case": number, "decision": decision, "reason": reason}:
            return f"question {number}: {decision}: {reason}"
        case {"tools": [*tools]}:
            return f"a person is asked about {', '.join(map(str, tools))}"
        case {"of": member, "doubts": [*doubts]}:
            objections: list[Any] = content.get("objections", [])
            return f"of {member}: {'; '.join(map(str, [*doubts, *objections]))}"
        case {"members": [*members], "ladder": [*ladder]}:
            doubted = f"; doubted on the way: {len(ladder)}" if ladder else ""
            return f"the answers of {', '.join(map(str, members))} are taken{doubted}"
        case _:
            return json.dumps(content, ensure_ascii=False)


def _answer(result: Mapping[str, Any]) -> list[str]:
    parts = ["## The answer"]
    if result["degraded"]:
        parts.append(f"> Degraded: {inline(result['degraded'])}")
    parts.append(prose(result["answer"]))
    if result["citations"]:
        sources = (_source(*numbered) for numbered in enumerate(result["citations"], start=1))
        parts += ["### Sources", _table(_SOURCE, sources)]
    return parts


def _source(number: int, source: Mapping[str, Any]) -> list[str]:
    section = source["section"].removeprefix(source["title"]).removeprefix(" > ")
    return [
        str(number),
        inline(source["title"]),
        inline(section),
        f"{inline(source['origin'])}, characters {source['start']} to {source['stop']}",
        inline(source["provenance"]),
    ]


def _case(case: Case) -> str:
    verdict = case.verdict
    if verdict is None:
        return f"- Question {case.id}: {inline(case.title)} is {case.status}"
    said = f"**{verdict.decision}** by {inline(verdict.by)} (via {verdict.via}, {verdict.at[:16]})"
    more = f"; reply: {inline(verdict.reply)}" if verdict.reply else ""
    if verdict.edited_arguments:
        more = f"; arguments: {inline(json.dumps(verdict.edited_arguments, ensure_ascii=False))}"
    return f"- Question {case.id}: {inline(case.title)} → {said}: {inline(verdict.reason)}{more}"


def _decision(decision: Mapping[str, Any]) -> list[str]:
    seats = {step: seat["member"] for seat in decision["seats"] for step in seat["steps"]}
    plan = (_step(step, seats) for step in decision["plan"])
    contributions = (
        [part["dimension"], f"{part['value']:.2f}", f"{part['share']:.2f}", inline(part["reason"])]
        for part in decision["complexity"]["contributions"]
    )
    return [
        "## Who did it, and why",
        (
            f"**{ROUTES[decision['route']]}** · complexity {decision['score']:.2f} · "
            f"riskiest tool `{decision['tier']}` · policy version {decision['policy_version']}"
        ),
        _list(decision["reasons"]),
        "### The plan",
        _table(_STEP, plan),
        *_revision(decision.get("revision")),
        "### How complex it is",
        _table(_DIMENSION, contributions),
        "### What would have changed this",
        _list(decision["would_change"]),
    ]


def _revision(revision: Mapping[str, Any] | None) -> list[str]:
    if revision is None:
        return []
    return [
        f"### What {inline(revision['by'])} changed in the plan (question {revision['case']})",
        quoted(revision["difference"]),
    ]


def _step(step: Mapping[str, Any], seats: Mapping[str, str]) -> list[str]:
    return [
        step["id"],
        inline(step["text"]),
        inline(", ".join(step["tools"])) or "nothing",
        ", ".join(step["after"]) or "nothing",
        inline(seats.get(step["id"], "nobody")),
    ]


def _work(work: Mapping[str, Any]) -> list[str]:
    tools = ", ".join(
        f"{inline(use['tool'])} {use['seconds']:.2f} s ({inline(use['outcome'])})"
        for use in work["tools"]
    )
    return [
        inline(work["member"]),
        inline(work["agent"]),
        tools or "none",
        f"{work['seconds']:.2f} s",
        str(work["tokens"]),
        f"{work['cost_usd']:.4f}",
    ]


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {inline(text)}" for text in texts)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
