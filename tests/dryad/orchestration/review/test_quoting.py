"""Foreign text stays text: nothing of it hides, scrolls out of sight, or becomes markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dryad.orchestration.review.quoting import (
    COLUMNS,
    MAX_QUOTED,
    inline,
    prose,
    quoted,
    visible,
)

READER = MarkdownIt("gfm-like", {"linkify": False, "html": True})
PARAGRAPHS_LISTS_AND_CODE = {
    "paragraph_open", "paragraph_close", "inline", "text", "text_special", "softbreak", "hardbreak",
    "bullet_list_open", "bullet_list_close", "ordered_list_open", "ordered_list_close",
    "list_item_open", "list_item_close", "code_inline", "fence", "strong_open", "strong_close",
}  # fmt: skip
WRITTEN = st.lists(
    st.sampled_from(
        ["a", " ", "\n", "\n\n", "`", "```", "~~~", "*", "**", "_", "[", "](http://e.vil)", "!",
         "<b>", "<script>", "|", "|-|", "#", "# ", "- ", "1. ", "1)", "=", "===", "---", "&lt;",
         "\\", ">", "    ", "\t", "~", "www.e.vil", "a@e.vil", "http://e.vil/`", "$", ":", "+ ",
         "\r\n", "\u2028"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


def kinds(markdown: str) -> set[str]:
    tokens = READER.parse(markdown)
    return {part.type for token in tokens for part in [token, *(token.children or [])]}


@given(st.one_of(st.text(max_size=300), WRITTEN))
def test_no_text_leaves_its_fence(text: str):
    assert [token.type for token in READER.parse(quoted(text))] == ["fence"]


@given(WRITTEN)
def test_prose_is_paragraphs_lists_and_code(text: str):
    assert kinds(prose(text)) <= PARAGRAPHS_LISTS_AND_CODE


@given(WRITTEN)
def test_a_running_line_is_one_paragraph(text: str):
    assert kinds(f"x {inline(text)}") <= {"paragraph_open", "paragraph_close", "inline", "text",
                                          "text_special", "code_inline"}  # fmt: skip


@given(st.text(max_size=300))
def test_no_hidden_character_stays_hidden(text: str):
    assert not set(visible(text)) & {"\u202e", "\u200b", "\x00", "\x1b", "\u2066", "\ufeff"}


def test_a_letter_that_shows_nothing_is_named():
    for blank in "\u115f\u3164\uffa0\u2800\u034f\ufe0f\U000e0101":
        assert visible(f"pay{blank}roll") == f"pay⟨U+{ord(blank):04X}⟩roll"
    assert visible("naïve e\u0301 日本 한글 ⚠") == "naïve e\u0301 日本 한글 ⚠"


@given(st.text(st.characters(exclude_categories=["C"], exclude_characters="↪\u2028\u2029")))
def test_what_is_wrapped_is_whole(text: str):
    lines = quoted(text).split("\n")[1:-1]
    assert max(map(len, lines)) <= COLUMNS
    assert "".join(line.removeprefix("↪ ") for line in lines) == text


def test_what_stands_far_to_the_right_is_seen_all_the_same():
    lines = quoted("harmless" + " " * 300 + "and-not").split("\n")
    assert lines[-2].endswith("and-not")
    assert max(map(len, lines)) <= COLUMNS
    assert max(map(len, quoted("宽" * 100).split("\n"))) <= COLUMNS // 2


@pytest.mark.parametrize("address", ["https://e.vil/x", "www.e.vil", "someone@e.vil"])
def test_an_address_is_no_link(address: str):
    # Viewers link addresses in text, whatever is escaped in them, but not in code.
    for markdown in (inline(f"see {address} now"), prose(f"see {address} now")):
        inside = READER.parse(markdown)[1].children
        assert inside is not None
        assert [part.content for part in inside if part.type == "code_inline"] == [address]


def test_prose_reads_as_it_was_meant():
    said = (
        "# Found\nOne **bold** `x_y` line\nand another\n- first [1]\n- second\n\n1. one\n2. two\n\n"
    )
    code = "```python\nprint('*')\n```\n| a | b |\n"
    assert prose(said + code) == (
        "**Found**\\\nOne **bold** `x_y` line\\\nand another\n\n- first \\[1\\]\n- second\n\n"
        "1. one\n2. two\n\n```text\nprint('*')\n```\n\n```text\n| a | b |\n```"
    )


def test_ordinary_words_need_no_escape():
    text = "The plan (made by rules): search_memory at 18:00. It's 2/3 done - really!"
    assert inline(text) == text


def test_a_long_text_is_cut_and_named_by_its_digest():
    for show in (quoted, prose):
        shown = show("x" * (MAX_QUOTED + 1))
        assert f"{MAX_QUOTED} of {MAX_QUOTED + 1} characters" in shown
        assert len(shown) < MAX_QUOTED + 700
