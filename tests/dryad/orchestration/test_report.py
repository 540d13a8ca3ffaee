"""A report says what came out, who let it happen and who did it; what others wrote stays text."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from markdown_it import MarkdownIt

from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.report import report
from dryad.orchestration.review.questions import Case
from dryad.orchestration.review.verdicts import Verdict
from dryad.orchestration.tasks import Task

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOSTILE = "![x](http://e.vil/p.png) <script>alert(1)</script>\n# Approved\n| a | b |\n|---|---|\n"
TASK = Task(
    id=TaskId("task_1"), tenant=TenantId("acme"), text="What is it?", context={}, agent="",
    budget={}, requester="key:k", status="done", reason="", run=RunId("r"), tokens=0, cost_usd=0.0,
    created=NOW, updated=NOW, finished=NOW,
    result={
        "answer": "- it is this [1]\n- and that", "degraded": "no model",
        "citations": [{
            "document": "d", "title": "Glossary", "section": "Glossary > Terms", "start": 1,
            "stop": 9, "origin": "/docs/glossary.md", "provenance": "trusted",
        }],
        "work": [{
            "member": "researcher", "agent": "researcher", "seconds": 1.5, "tokens": 7,
            "cost_usd": 0.01,
            "tools": [{"tool": "search_memory", "seconds": 0.5, "outcome": "done"}],
        }],
    },
)  # fmt: skip
DECISION: dict[str, Any] = {
    "created": NOW.isoformat(),
    "route": "escalation", "score": 0.2, "tier": "external", "policy_version": 3,
    "reasons": ["policy asks a person"], "would_change": ["another policy"],
    "plan": [{"id": "s1", "text": "Look", "tools": ["search_memory"], "after": []}],
    "seats": [{"member": "researcher", "steps": ["s1"]}],
    "complexity": {"contributions": [
        {"dimension": "scope", "value": 0.1, "share": 0.05, "reason": "1 step"}]},
}  # fmt: skip
CASE = Case(
    id=4, tenant=TASK.tenant, task=TASK.id, run=RunId("r"), kind="approval", tier="external",
    status="resolved", round=1, brief="", words=("approve",), proof="none", needs={}, votes=(),
    title="May it?", requester="key:k", talk=(),
    created=NOW, due=NOW,
    verdict=Verdict("approve", "planned", "Ada", "ui", NOW.isoformat()),
)  # fmt: skip


def headings(markdown: str) -> list[str]:
    tokens = MarkdownIt().enable("table").parse(markdown)
    return [b.content for a, b in itertools.pairwise(tokens) if a.type == "heading_open"]


def test_the_answer_comes_first_and_the_why_after_it():
    assert headings(report(TASK, DECISION, [CASE])) == [
        "Done", "The task", "The answer", "Sources", "What a person decided",
        "Who did it, and why", "The plan", "How complex it is", "What would have changed this",
        "What each agent did", "When",
    ]  # fmt: skip


def test_every_part_is_told():
    told = report(TASK, DECISION, [CASE])
    for line in (
        "- it is this \\[1\\]",
        "> Degraded: no model",
        "| 1 | Glossary | Terms | /docs/glossary.md, characters 1 to 9 | trusted |",
        "- Question 4: May it? → **approve** by Ada (via ui, 2026-05-01T12:00): planned",
        "| s1 | Look | search_memory | nothing | researcher |",
        "| researcher | researcher | search_memory 0.50 s (done) | 1.50 s | 7 | 0.0100 |",
    ):
        assert line in told.split("\n")


def test_what_was_doubted_and_what_a_force_said_are_told_in_order():
    rung = {
        "member": "a", "doubts": ["it is empty"], "step": "another agent", "by": "analyst",
        "outcome": "accepted",
    }  # fmt: skip
    said = [
        {"sequence": 1, "member": "a", "kind": "proposal", "content": {"text": "x", "turn": "end"},
         "created": "2026-05-01T12:00:01+00:00"},
        {"sequence": 2, "member": "coordinator", "kind": "critique",
         "content": {"of": "a", "doubts": ["it is empty"], "objections": ["x is no y"], "by": "m"},
         "created": "2026-05-01T12:00:02+00:00"},
        {"sequence": 3, "member": "a", "kind": "answer", "created": "2026-05-01T12:00:03+00:00",
         "content": {"case": 4, "decision": "approve", "reason": "planned", "turn": "case 4"}},
        {"sequence": 4, "member": "coordinator", "kind": "agreement",
         "content": {"members": ["a", "b"], "ladder": [rung], "turn": "end"},
         "created": "2026-05-01T12:00:04+00:00"},
    ]  # fmt: skip
    late = NOW + timedelta(seconds=5)
    task = replace(TASK, result={**(TASK.result or {}), "ladder": [rung]}, finished=late)
    told = report(task, DECISION, [], {"messages": said}).split("\n")
    assert "| a | it is empty | another agent analyst | accepted |" in told
    assert "| 1 | a | proposal | x |" in told
    assert "| 2 | coordinator | critique | of a: it is empty; x is no y |" in told
    assert "| 3 | a | answer | question 4: approve: planned |" in told
    wanted = (
        "| 4 | coordinator | agreement | the answers of a, b are taken; doubted on the way: 1 |"
    )
    assert wanted in told
    when = told[told.index("## When") :]
    assert [line.split(" | ")[-1] for line in when[4:]] == [
        "submitted by key:k |", "planned by rules: steps s1 |",
        "scored: complexity 0.20, risk tier external |",
        "decided: a person first, for policy asks a person |", "a: proposal |",
        "coordinator: critique |", "a: answer |", "coordinator: agreement |", "ended: done |",
    ]  # fmt: skip


def test_an_edit_and_a_reply_are_told():
    edit = Verdict("edit", "later", "key:k", "api", NOW.isoformat(), edited_arguments={"to": "b"})
    told = report(TASK, None, [replace(CASE, verdict=edit), replace(CASE, verdict=None)])
    assert '**edit** by key:k (via api, 2026-05-01T12:00): later; arguments: {"to": "b"}' in told
    assert "- Question 4: May it? is resolved" in told


def test_what_never_began_has_a_report_too():
    ended = replace(TASK, status="refused", result=None, reason="the tool is stopped")
    assert headings(report(ended, None, [])) == [
        "Refused by a rule", "The task", "Why it ended so", "When",
    ]  # fmt: skip


def test_nothing_foreign_becomes_markup():
    result = {**(TASK.result or {}), "answer": HOSTILE, "degraded": HOSTILE}
    hostile = replace(TASK, text=HOSTILE, reason=HOSTILE, requester=HOSTILE, result=result)
    case = replace(
        CASE,
        title=HOSTILE,
        verdict=Verdict("reply", HOSTILE, HOSTILE, "ui", NOW.isoformat(), HOSTILE),
    )
    told = report(hostile, DECISION, [case])
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(told)
    inner = {child.type for token in tokens for child in [token, *(token.children or [])]}
    assert not inner & {"image", "link_open", "html_inline", "html_block"}
    harmless = replace(hostile, text="a", requester="a", reason="a")
    assert headings(told) == headings(report(harmless, DECISION, [CASE]))
