"""Plan a task from its text alone, by rules: lists, clauses, words of order, conditions, verbs.

It never invents a step and never leaves out one: what it does not understand becomes one research
step. Work that no tool here can do, such as deleting or paying, is called `operate`; as long as no
agent has that capability, a person hears of it first.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dryad.orchestration import wording
from dryad.orchestration.plan import MOST_STEPS, Plan, PlanStep

OPERATE = "operate"

_LOOKED_AT = 400
"""Characters on either side of a separator that tell whether new work begins there."""

_SHORTEST = 3
"""Words a part has at least, where a text says that its parts are independent."""

_ITEM = re.compile(
    r"^[ \t]*(?:(\d+)[.)]|[-*•])[ \t]+"
    r"(\S.*(?:\n[ \t]+(?![ \t]*(?:\d+[.)]|[-*•])[ \t])\S.*)*)",
    re.MULTILINE,
)
_CUT = re.compile(
    r";|[.?!](?=\s)|\n+|:(?=\s)|,?\s+(?:and\s+)?(?:then|afterwards)\s+|,?\s+and\s+(?:also\s+)?|"
    r",?\s+(?:plus|as well as)\s+|,\s+"
)
_ADVERB = re.compile(
    r"\W*(?:separately|independently|meanwhile|also|then|finally|next)\W*", re.IGNORECASE
)
_CONDITION = re.compile(r"\W*(?:if|unless|once|in case|as soon as)\b", re.IGNORECASE)
_ASIDE = re.compile(rf"{wording.QUOTED.pattern}|\([^()]*\)")
_NAMES = re.compile(
    r"\b(?:of|for|from|with)\s+(?:each of\s+)?((?:the\s+)?[A-Z][\w' -]{0,40}?(?:,\s+(?:the\s+)?"
    r"[A-Z][\w' -]{0,40}?)+,?\s+and\s+(?:the\s+)?[A-Z][\w'-]*)|"
    r"\b(the\s[\w' -]{1,40}(?:,\s+the\s[\w' -]{1,40})+,?\s+and\s+the\s[\w' -]{1,40}?)(?=[,.;]|$)"
)


@dataclass(frozen=True)
class _Piece:
    """A piece of work as it was cut out of the text."""

    text: str
    waits: bool = False
    """For the piece before it, by its place."""
    own: str = ""
    """What kind of work it is stands here, when `text` holds more than that."""
    begins: bool = True
    """Whether a sentence begins with it."""
    gap: str = ". "
    """What stands between it and the piece after it."""
    free: bool = False
    """The text says that it need not wait for its neighbours."""

    @property
    def work(self) -> str:
        """The words that say what is to be done."""
        return wording.own_words(self.own or self.text)

    @property
    def first_sentence(self) -> str:
        """The work without what is said about it afterwards."""
        return re.split(r"[.?!]\s", self.work, maxsplit=1)[0]


def offline_plan(text: str, *, most_steps: int = MOST_STEPS) -> Plan:
    """Plan a task.

    A numbered list is an order; bullets, sentences and clauses that stand by themselves are
    independent. A step waits for the one before when it says so ("then", "if …,"), points back
    ("the result", "it", "the scores" of a step that makes some) or its sentence opened something;
    and for all open ones when it joins them ("both", "the findings") or reports them to somebody.

    Args:
        text: The task, any language.
        most_steps: Further pieces are joined into the last step.
    """
    pieces = _pieces(text)
    if len(pieces) > most_steps:
        rest = "\n".join(piece.text for piece in pieces[most_steps - 1 :])
        pieces = [*pieces[: most_steps - 1], _Piece(rest, waits=True)]
    steps: list[PlanStep] = []
    for number, piece in enumerate(pieces, start=1):
        capability, tools = kind_of(piece.work)
        after = _waits_for(piece, capability, steps, pieces[: number - 1])
        steps.append(PlanStep(f"s{number}", piece.text, capability, tools, after))
    return Plan(tuple(steps))


def kind_of(work: str) -> tuple[str, tuple[str, ...]]:
    """Return the capability and the tools that a piece of work takes."""
    if wording.says_something(work):
        return "communicate", ("notify",)
    if wording.operates(work):
        return OPERATE, ()
    if wording.writes_a_file(work):
        return "write", ("write_file",)
    if wording.computes(work):
        return "analysis", ("run_python", "calculate")
    return "research", ("search_memory",)


def _waits_for(
    piece: _Piece, capability: str, steps: Sequence[PlanStep], pieces: Sequence[_Piece]
) -> tuple[str, ...]:
    """Return the steps, of those before it, whose outcome a piece needs."""
    if not steps:
        return ()
    awaited = {earlier for step in steps for earlier in step.after}
    ends = tuple(step.id for step in steps if step.id not in awaited)
    said = piece.first_sentence
    if wording.JOINS.search(said) or (capability == "communicate" and not piece.waits):
        return ends
    if piece.waits or wording.ORDERS.match(piece.text) or wording.REFERS.search(said):
        return (steps[-1].id,)
    if piece.free or wording.APART.match(said):
        return ()
    if capability == "write" or (not piece.begins and wording.ANSWERS.match(said)):
        return (steps[-1].id,)
    found = _continues(piece, steps, pieces)
    return (found,) if found else ends if capability == OPERATE else ()


def _continues(piece: _Piece, steps: Sequence[PlanStep], pieces: Sequence[_Piece]) -> str:
    """Return the step that a piece goes on from without saying so; '' for none."""
    for step, earlier in zip(reversed(steps), reversed(pieces), strict=True):
        if wording.speaks_of(piece.work, earlier.work):
            return step.id
    # A sentence that opened something, or has become a chain, is about that to its end.
    chain = steps[-1].after or wording.OPENS.match(pieces[-1].work)
    return steps[-1].id if chain and not piece.begins else ""


def _pieces(text: str) -> list[_Piece]:
    items = list(_ITEM.finditer(text))
    if wording.TRANSFORMS.match(text):
        return [_Piece(text.strip(), own=text.split("\n", 1)[0])]
    if len(items) < 2:
        return _sentences(text)
    head = text[: items[0].start()].strip()
    if head and kind_of(head)[0] in {"communicate", OPERATE, "write"}:
        return [_Piece(text.strip(), own=head)]  # the list is what is to be sent, or acted on
    tail = text[items[-1].end() :].strip()
    told = f"{head}\n" if head and not head.endswith(".") else ""
    pieces = [
        _Piece(told + item[2].strip(), waits=bool(item[1]) and place > 0, own=item[2])
        for place, item in enumerate(items)
    ]
    asks = head.endswith((".", "?", "!")) and wording.JUDGEABLE.match(head)
    after = _clauses(tail)
    return [
        *(_clauses(head) if asks else []),
        *pieces,
        *(replace(piece, waits=True) if not place else piece for place, piece in enumerate(after)),
    ]


def _sentences(text: str) -> list[_Piece]:
    """Return the pieces of a text without a list."""
    found = list(_with_context(_clauses(text))) or [_Piece(text.strip() or text)]
    if not wording.INDEPENDENT.search(wording.own_words(text)):
        return found
    apart = [piece for piece in found if not wording.JOINS.search(piece.first_sentence)]
    if len(apart) > 1:
        return [replace(piece, free=piece in apart) for piece in found]
    return [part for piece in found for part in (_parts(piece) if piece in apart else [piece])]


def _with_context(pieces: Sequence[_Piece]) -> Iterator[_Piece]:
    """Yield pieces of work, each with the context that was said before it; the last ends it."""
    if not any(_is_work(piece) for piece in pieces):
        yield from pieces
        return
    told = ""
    held: _Piece | None = None
    for piece in pieces:
        if not _is_work(piece):
            if held is None:
                told += piece.text + piece.gap
            else:
                held = replace(held, text=held.text + held.gap + piece.text, gap=piece.gap)
            continue
        if held is not None:
            yield held
        held = replace(piece, text=told + piece.text, own=piece.own or piece.text)
        told = ""
    if held is not None:
        yield held


def _is_work(piece: _Piece) -> bool:
    modifies = piece.begins and wording.MODIFIES.match(piece.work)
    return not modifies and bool(
        wording.is_work(piece.work) or wording.ORDERS.match(piece.own or piece.text)
    )


def _parts(piece: _Piece) -> list[_Piece]:
    """Cut work whose text says that its parts are independent."""
    return _by_name(piece) or _by_separator(piece) or [piece]


def _by_name(piece: _Piece) -> list[_Piece]:
    """Cut work on three things or more that are called by name into work on each; else []."""
    found = _NAMES.search(piece.first_sentence)
    if found is None:
        return []
    names = re.split(r",?\s+and\s+|,\s+", found[1] or found[2])
    return [
        _Piece(f"{piece.text.strip()}\nYour part: {name}", own=piece.own, free=True)
        for name in names
    ]


def _by_separator(piece: _Piece) -> list[_Piece]:
    """Cut work wherever a part may end; [] for one part."""
    hidden = _ASIDE.sub(lambda aside: "_" * len(aside[0]), piece.text)
    ends = [(cut.start(), cut.end()) for cut in wording.SEPARATES.finditer(hidden)]
    spans: list[tuple[int, int]] = []
    start = 0
    for stop, following in [*ends, (len(hidden), len(hidden))]:
        part = hidden[start:stop].strip(" ,.;:\n")
        short = len(part.split()) < _SHORTEST or not part[:1].isalpha()
        if spans and short:
            spans[-1] = (spans[-1][0], stop)
        elif part:
            spans.append((start, stop))
        start = following
    parts = [piece.text[start:stop].strip(" ,.;:\n") for start, stop in spans]
    return [_Piece(part, free=True) for part in parts] if len(parts) > 1 else []


def _clauses(text: str) -> list[_Piece]:
    """Cut a text where new work begins, and nowhere else."""
    found: list[_Piece] = []
    spans: list[tuple[int, int]] = []
    hidden = wording.QUOTED.sub(lambda quoted: "_" * len(quoted[0]), text)
    start, told, follows, begins = 0, "", False, True
    for cut in [*_CUT.finditer(hidden), None]:
        stop = cut.start() if cut else len(text)
        piece = text[start:stop].strip(" ,.;\n")
        if cut is not None:
            before = hidden[start : min(stop, start + _LOOKED_AT)]
            if not _cuts(before, cut.group(), hidden[cut.end() : cut.end() + _LOOKED_AT]):
                continue
        if cut is not None and cut.group() == ":":
            told = f"{piece}: "  # what is said before a colon is said of everything after it
        elif piece and not _ADVERB.fullmatch(piece):
            found.append(_Piece(told + piece, follows, own=piece, begins=begins))
            at = text.index(piece, start)
            spans.append((at, at + len(piece)))
        separator = cut.group() if cut else ""
        follows = re.search(r"\b(?:then|afterwards)\b", separator) is not None
        begins = separator[:1] in {".", "?", "!", ";", "\n", ":"}
        start = cut.end() if cut else stop
    if not found:
        return [_Piece(text.strip())] if told else []
    gaps = [text[stop:start] for (_, stop), (start, _) in pairwise(spans)]
    return [replace(piece, gap=gap) for piece, gap in zip(found, [*gaps, ""], strict=True)]


def _cuts(before: str, separator: str, rest: str) -> bool:
    """Whether new work begins behind a separator."""
    sentence = separator[0] in ".?!;\n"
    if wording.begins_to_say(before) and not sentence:
        # What follows belongs to the message, unless another message begins.
        return wording.MESSAGE_BEGINS.match(rest) is not None and separator != ":"
    if separator == ":":
        return wording.JUDGEABLE.match(rest) is not None and not wording.JUDGEABLE.match(before)
    if re.match(r"\W*(?:if|unless|once|in case)\b", before, re.IGNORECASE) and "," in separator:
        return False  # the comma ends a condition; its consequence belongs to it
    if wording.JUDGEABLE.match(rest):
        return True
    return sentence and bool(wording.is_question(rest) or _CONDITION.match(rest))
