"""Nothing foreign leaves its fence, hides, or becomes markup in what a reviewer reads."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dryad.orchestration.review.brief import MAX_QUOTED, brief, quoted, visible

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
        if child.type not in {"text", "softbreak", "text_special"}
    ]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["title", "action", "origin", "why"])
def test_hostile_text_changes_nothing_of_the_page(text: str, place: str):
    harmless = structure(page(**{place: "x"}))
    assert structure(page(**{place: text})) == harmless


@given(st.text(max_size=300))
def test_no_text_leaves_its_fence(text: str):
    tokens = MarkdownIt("commonmark").parse(quoted(text))
    assert [token.type for token in tokens] == ["fence"]


@given(st.text(max_size=300))
def test_no_hidden_character_stays_hidden(text: str):
    assert not set(visible(text)) & {"\u202e", "\u200b", "\x00", "\x1b", "\u2066", "\ufeff"}


def test_a_long_text_is_cut_and_named_by_its_digest():
    shown = quoted("x" * (MAX_QUOTED + 1))
    assert f"{MAX_QUOTED} of {MAX_QUOTED + 1} characters" in shown
    assert len(shown) < MAX_QUOTED + 300
