"""Cut a document into citable passages along its own structure."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

PASSAGE_CHARACTERS = 1000
"""A passage is no longer than this."""

Span = tuple[int, int]
"""Character range `[start, stop)` of a text."""

_LINE_END = re.compile(r"\r\n|\r|\n")
# A line that may be, or underline, a heading.
_HEADING = r" {0,3}[#=-]"
# A line that may begin, or make, anything but a paragraph.
_MARKUP = r"(?: {0,3}(?:[#>+*_=`~<\[\t-]|[0-9]{1,9}[.)])| {4})"
# The first line, and any other: what begins with a few characters is found ten times as fast.
_FIRST_HEADING, _HEADINGS = re.compile(_HEADING), re.compile(rf"[\r\n]{_HEADING}")
_FIRST_MARKUP, _MARKUPS = re.compile(_MARKUP), re.compile(rf"[\r\n]{_MARKUP}")
_BLANK = " \t\r\n"
_BLANK_LINES = re.compile(r"(?>\r\n|\r|\n)(?:[ \t]*(?>\r\n|\r|\n))+")
# Where a block that is too long is cut, best first: blank line, line, sentence, white space.
_SEAMS = (
    re.compile(r"(?>\r\n|\r|\n)[ \t]*(?>\r\n|\r|\n)"),
    _LINE_END,
    re.compile(r"(?<=[.!?。！？])\s+"),
    re.compile(r"\s+"),
)


@dataclass(frozen=True)
class Piece:
    """One passage of a text: `text[start:stop]`, under the headings named by `section`."""

    section: str
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """One top-level element: never parted when it fits."""

    start: int
    stop: int
    heading: tuple[int, str] | None = None
    items: tuple[int, ...] = ()
    """Where the items of a list begin."""


def cut(text: str, *, longest: int = PASSAGE_CHARACTERS) -> list[Piece]:
    """Cut Markdown (and so plain text) into passages, in order.

    Paragraphs, lists, tables and code fences stay whole when they fit in a passage; neighbours
    under the same heading share one while it is not full. A heading opens the passage below it.
    Every character that is not white space lies in exactly one passage.

    Args:
        text: Markdown or plain text of any length.
        longest: Characters a passage may have, > 0.

    Returns:
        Passages with `section` as the path of headings, joined by " > ".
    """
    if len(text) <= longest and not (_FIRST_HEADING.match(text) or _HEADINGS.search(text)):
        return [Piece("", *_trim(text, 0, len(text)))] if text.strip() else []
    pieces: list[Piece] = []
    path: list[tuple[int, str]] = []
    pending: Span | None = None  # headings, then as many blocks as fit
    body = False  # does `pending` hold more than headings?
    for block in blocks(text):
        if block.heading:
            if pending and body:
                pieces += _pieces(text, pending, path, longest)
                pending = None
            path = [(level, name) for level, name in path if level < block.heading[0]]
            path.append(block.heading)
            body = False
        elif pending and block.stop - pending[0] > longest and (body or not block.items):
            pieces += _pieces(text, pending, path, longest)
            pending = None
        pending = (pending[0] if pending else block.start, block.stop)
        body = body or block.heading is None
        if pending[1] - pending[0] > longest:
            pieces += _pieces(text, pending, path, longest, block.items)
            pending = None
    if pending:
        pieces += _pieces(text, pending, path, longest)
    return pieces


def _pieces(
    text: str, span: Span, path: list[tuple[int, str]], longest: int, items: tuple[int, ...] = ()
) -> Iterator[Piece]:
    section = " > ".join(name for _, name in path)
    for start, stop in _split(text, span, longest, items):
        yield Piece(section, start, stop)


def _split(text: str, span: Span, longest: int, items: tuple[int, ...] = ()) -> Iterator[Span]:
    """Cut one span at its best seams, as late as the limit allows."""
    start, stop = _trim(text, *span)
    while stop - start > longest:
        seam = _seam(text, start, longest, items)
        yield _trim(text, start, seam)
        start = _trim(text, seam, stop)[0]
    if start < stop:
        yield start, stop


def _seam(text: str, start: int, longest: int, items: tuple[int, ...]) -> int:
    """Return where to cut within `longest` characters: not too early, at the best kind of seam."""
    last, least = start + longest, start + longest // 3
    before = bisect_left(items, last + 1)
    if before and items[before - 1] > start:
        return items[before - 1]
    for seam in _SEAMS:
        found = [match.start() for match in seam.finditer(text, least, last + 1)]
        if found and found[-1] > start:
            return found[-1]
    return last


def _trim(text: str, start: int, stop: int) -> Span:
    """Shrink a span by the white space at its ends."""
    body = text[start:stop]
    stop = start + len(body.rstrip())
    return min(start + len(body) - len(body.lstrip()), stop), stop


def blocks(text: str) -> Iterator[Block]:
    """Yield top-level elements; each reaches to the beginning of the next, so nothing is lost."""
    if marked_up(text):
        yield from parsed(text)
        return
    first, last = len(text) - len(text.lstrip(_BLANK)), len(text.rstrip(_BLANK))
    if first < last:
        seams = (match.end() for match in _BLANK_LINES.finditer(text, first, last))
        for start, stop in pairwise([0, *seams, len(text)]):
            yield Block(start, stop)


def marked_up(text: str) -> bool:
    """Tell whether there may be more than paragraphs: parsing takes most of the time."""
    return "|" in text or bool(_FIRST_MARKUP.match(text) or _MARKUPS.search(text))


def parsed(text: str) -> Iterator[Block]:
    """Yield the same, as a parser of Markdown finds them."""
    lines = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def offset(line: int) -> int:
        return lines[line] if line < len(lines) else len(text)

    tokens = _parser().parse(text)
    opening = [
        (index, token) for index, token in enumerate(tokens) if token.level == 0 and token.map
    ]
    starts = [offset(token.map[0]) for _, token in opening if token.map]
    if starts:
        starts[0] = 0
    for position, (index, token) in enumerate(opening):
        stop = starts[position + 1] if position + 1 < len(starts) else len(text)
        yield Block(
            starts[position],
            stop,
            heading=_heading(tokens, index),
            items=tuple(offset(line) for line in _items(tokens, index, token)),
        )
    if not starts and text.strip():  # nothing but link definitions
        yield Block(0, len(text))


def _heading(tokens: list[Token], index: int) -> tuple[int, str] | None:
    token = tokens[index]
    if token.type != "heading_open":
        return None
    return int(token.tag[1:]), tokens[index + 1].content.strip()


def _items(tokens: list[Token], index: int, opening: Token) -> Iterator[int]:
    """Yield the first line of each item when `opening` is a list."""
    if opening.type not in {"bullet_list_open", "ordered_list_open"}:
        return
    for token in tokens[index + 1 :]:
        if token.level == 0:
            return
        if token.type == "list_item_open" and token.level == 1 and token.map:
            yield token.map[0]


@cache
def _parser() -> MarkdownIt:
    # Only block structure matters; parsing inline content would cost most of the time.
    return MarkdownIt("commonmark").enable("table").disable("inline")
