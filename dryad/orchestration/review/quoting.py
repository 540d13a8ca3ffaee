"""Foreign text on a page that people decide from: shown whole, hiding nothing, never markup.

Requesters, agents, tools and documents write what they like; only our own templates are markdown.
Exact things stand in a fence they cannot leave (`quoted`), prose keeps its paragraphs, lists and
code and nothing else (`prose`), short text stands in a line of ours (`inline`).
"""

import hashlib
import itertools
import re
import textwrap
import unicodedata

MAX_QUOTED = 6_000
"""Characters of foreign text shown; the rest is named by its digest."""

COLUMNS = 64
"""What a fence in the dialog of a waiting run shows without scrolling sideways."""

_GOES_ON = "↪ "
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
# Letters and marks that show nothing: fillers, joiners, variation selectors, the empty braille.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0100-\U000e01ef]"
)
_EXACT = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,}).*\n(?P<code>[\s\S]*?)(?:^[ \t]*(?P=fence).*$|\Z)"
    r"|(?:^[ \t]*\|.*\n?)+",
    re.MULTILINE,
)
"""Code and tables: their columns mean something."""
_ITEM = re.compile(r"\s*(?:[-*+•]|(?P<number>\d{1,3})[.)])\s+(?P<text>\S.*)")
_HEADING = re.compile(r"\s*#{1,6}\s+(?P<text>\S.*)")
_PIECE = re.compile(r"(?<!`)`(?P<code>[^`|\n]+)`(?!`)|(?P<word>[^\s`|]+)")
# Of an address a viewer makes a link even where its punctuation is escaped, but not within code.
_ADDRESS = re.compile(r"://|\bwww\.|@", re.IGNORECASE)
_MARKUP = re.compile(
    r"[\\`*\[\]<|~]|(?<!\w)_|_(?!\w)|&(?=[#\w])|#(?!\w)|^[#>=+-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]"
    r"|(?<=^\d\d\d)[.)]"
)
_BOLD = re.compile(r"\\\*\\\*(?=\S)(.{1,200}?)(?<=\S)\\\*\\\*")


def quoted(text: str) -> str:
    """Return foreign text exactly, in a fence it cannot leave, long lines wrapped and marked so."""
    return _fence(visible(text[:MAX_QUOTED])) + _cut(text)


def prose(text: str) -> str:
    """Return foreign prose as paragraphs, flat lists and code; everything else in it is text."""
    shown, start = visible(text[:MAX_QUOTED]), 0
    blocks: list[str] = []
    for exact in _EXACT.finditer(shown):
        blocks += _blocks(shown[start : exact.start()])
        blocks.append(_fence((exact["code"] or exact[0]).rstrip("\n")))
        start = exact.end()
    blocks += _blocks(shown[start:])
    return "\n\n".join(blocks) + _cut(text)


def inline(text: str) -> str:
    """Return short foreign text for a running line: one line, nothing in it but code is marked."""
    return _escaped(" ".join(visible(text[:500]).split()))


def visible(text: str) -> str:
    """Replace characters that hide, turn or are not seen themselves by their names."""
    return "".join(
        f"⟨U+{ord(char):04X}⟩" if _hides(char) else char for char in text.replace("\r\n", "\n")
    )


def _hides(char: str) -> bool:
    if char in "\n\t":
        return False
    return unicodedata.category(char) in _HIDDEN or _BLANK.match(char) is not None


def _fence(shown: str) -> str:
    wrapped = "\n".join(itertools.chain.from_iterable(map(_wrapped, shown.split("\n"))))
    longest = max((len(run) for run in re.findall(r"`+", wrapped)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{wrapped}\n{fence}"


def _wrapped(line: str) -> list[str]:
    """Break what would be hidden at the right of a fence; wide characters take two columns."""
    wide = any(unicodedata.east_asian_width(char) in "WF" for char in line)
    return textwrap.wrap(
        line,
        COLUMNS // 2 if wide else COLUMNS,
        subsequent_indent=_GOES_ON,
        tabsize=4,
        replace_whitespace=False,
        drop_whitespace=False,
        break_on_hyphens=False,
    ) or [""]


def _blocks(shown: str) -> list[str]:
    """Return the paragraphs and lists of prose, escaped."""
    blocks: list[str] = []
    for is_item, lines in itertools.groupby(
        shown.split("\n"), lambda line: bool(_ITEM.match(line))
    ):
        if is_item:
            blocks.append("\n".join(map(_item, lines)))
            continue
        for blank, paragraph in itertools.groupby(lines, lambda line: not line.strip()):
            if not blank:
                blocks.append("\\\n".join(map(_line, paragraph)))
    return blocks


def _item(line: str) -> str:
    found = _ITEM.match(line)
    assert found is not None
    marker = f"{found['number']}." if found["number"] else "-"
    return f"{marker} {_escaped(found['text'].strip(), bold=True)}"


def _line(line: str) -> str:
    if heading := _HEADING.match(line):
        return f"**{_escaped(heading['text'].strip())}**"
    text = line.strip()
    indent = min(len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip()), 16)
    return "\N{NO-BREAK SPACE}" * indent + _escaped(text, bold=True)


def _escaped(text: str, *, bold: bool = False) -> str:
    """Escape one line; code and addresses stand in code spans."""
    parts: list[str] = []
    start = 0
    for piece in _PIECE.finditer(text):
        if piece["code"] or _ADDRESS.search(piece["word"]):
            code = f"`{piece['code'] or piece['word']}`"
            parts += [_MARKUP.sub(r"\\\g<0>", text[start : piece.start()]), code]
            start = piece.end()
    parts.append(_MARKUP.sub(r"\\\g<0>", text[start:]))
    line = "".join(parts)
    return _BOLD.sub(r"**\1**", line) if bold else line


def _cut(text: str) -> str:
    if len(text) <= MAX_QUOTED:
        return ""
    whole = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"\n\n*Cut: {MAX_QUOTED} of {len(text)} characters shown; sha256 {whole}*"
