"""A document is cut along its structure, and every cut can be cited exactly."""

from hypothesis import given
from hypothesis import strategies as st

from dryad.memory.passages import blocks, cut, marked_up, parsed

GUIDE = """\
Opening words.

# Guide

## Install

Run the installer.

```bash
# not a heading
make install

make check
```

## Use

### Daily

Type `go`.
"""

LINES = (
    *("# A", "## B", "text. More text!", "", "- item", "  - nested", "```", "    code", "> quote"),
    *("| a | b |", "|---|---|", "[x]: http://a", "\r\nwindows\r", "ünïcödé 漢字。", "***", "<div>"),
    "\x85\u2028\x0b",
)
markdown = st.lists(st.sampled_from(LINES) | st.text(max_size=60), max_size=40).map("\n".join)


@given(markdown, st.integers(1, 200))
def test_every_character_is_in_exactly_one_passage_and_none_is_too_long(text: str, longest: int):
    stop = 0
    for piece in cut(text, longest=longest):
        assert piece.start >= stop
        assert not text[stop : piece.start].strip()
        assert 0 < piece.stop - piece.start <= longest
        assert text[piece.start : piece.stop].strip()
        stop = piece.stop
    assert not text[stop:].strip()


SPACED = (
    "",
    " ",
    "\t",
    "  two",
    "   \n three",
    "\r\nwindows\r",
    "1",
    "&nbsp;",
    "a <b>",
    "a\\",
    "\x0b",
)
paragraphs = st.lists(
    st.sampled_from(SPACED)
    | st.text(max_size=12)
    | st.text(alphabet=" \t\r\nab\x0b\x0c:", max_size=8),
    max_size=14,
).map("\n".join)


@given(paragraphs)
def test_what_holds_no_markup_is_cut_as_the_parser_cuts_it(text: str):
    if not marked_up(text):
        assert [(b.start, b.stop) for b in blocks(text)] == [
            (b.start, b.stop) for b in parsed(text)
        ]


def test_passages_follow_the_headings():
    pieces = cut(GUIDE)
    assert [piece.section for piece in pieces] == ["", "Guide > Install", "Guide > Use > Daily"]
    assert GUIDE[pieces[1].start : pieces[1].stop].startswith("# Guide\n\n## Install")
    assert GUIDE[pieces[2].start : pieces[2].stop].endswith("Type `go`.")


def test_a_code_fence_that_fits_is_never_parted():
    fence = "```python\n" + "\n\n".join(f"x{n} = {n}" for n in range(60)) + "\n```"
    text = f"# T\n\n{'Words and words. ' * 30}\n\n{fence}\n\n{'After it. ' * 50}"
    assert len(fence) < 1000
    assert any(fence in text[piece.start : piece.stop] for piece in cut(text))


def test_a_long_list_is_cut_between_its_items():
    items = [f"- item {n}: " + "word " * 20 for n in range(30)]
    text = "\n".join(items)
    for piece in cut(text, longest=400):
        assert text[piece.start : piece.stop].startswith("- item")


def test_a_long_paragraph_is_cut_between_sentences():
    text = "This is one sentence of some length. " * 60
    pieces = cut(text.strip(), longest=300)
    assert all(text[piece.start : piece.stop].endswith(".") for piece in pieces)
    assert min(piece.stop - piece.start for piece in pieces[:-1]) > 150
