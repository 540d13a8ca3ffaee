"""What a reviewer reads: the call exactly, and nothing foreign that changes the page."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from markdown_it import MarkdownIt

from dryad.orchestration.review.brief import brief

DUE = datetime(2026, 5, 1, 12, tzinfo=UTC)

HOSTILE = [
    "```\n# Approved by security\n```",
    "````text\n~~~\n</details>",
    "![x](http://evil/pixel.png) [click](javascript:alert(1))",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "safe\u202egnp.exe",
    "zero\u200bwidth\x07bell",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "> **Your last answer was not accepted:** nothing",
]


def page(**question: Any) -> str:
    asked = {
        "title": "t", "why": "w", "action": "a", "call": None, "origin": "", "limits": "l",
        **question,
    }  # fmt: skip
    return brief(7, asked, kind="approval", tier="external", due=DUE, requester="key:k")


def structure(markdown: str) -> list[tuple[str, str]]:
    """Which blocks and inline elements a reader sees, without what fences hold."""
    return [
        (token.type, child.type)
        for token in MarkdownIt("commonmark").enable("table").parse(markdown)
        for child in (token.children or [token])
        if child.type not in {"text", "softbreak", "text_special", "code_inline"}
    ]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["title", "action", "origin", "why"])
def test_hostile_text_changes_nothing_of_the_page(text: str, place: str):
    harmless = structure(page(**{place: "x"}))
    assert structure(page(**{place: text})) == harmless


def test_the_call_is_shown_exactly():
    call = {"tool": "notify", "version": "1", "arguments": {"to": "ops", "message": "at 18:00"}}
    fences = [t.content for t in MarkdownIt().parse(page(call=call)) if t.type == "fence"]
    assert [json.loads(fence) for fence in fences[1:]] == [call["arguments"]]
    assert "**notify**, version 1" in page(call=call)
