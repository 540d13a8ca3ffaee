"""Plan a task from its text alone, by rules: lists, clauses, words of order, conditions, verbs.

It never invents a step and never leaves out one: what it does not understand becomes one research
step. Work that no tool here can do, such as deleting or paying, is called `operate`; as long as no
agent has that capability, a person hears of it first.
"""

import re
from dataclasses import dataclass

from dryad.orchestration.plan import MOST_STEPS, Plan, PlanStep

OPERATE = "operate"

_LOOKED_AT = 400
"""Characters on either side of a separator that tell whether new work begins there."""

_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|`[^`]*`|(?<!\w)'[^'\n]*'(?!\w)")

_BEGIN = (
    r"^\W*(?:(?:please|kindly|can you|could you|would you|will you|"
    r"(?:i|we)(?:'d| would)? (?:want|need|like|have)(?: you)? to|you (?:must|should|have to)|"
    r"and|then|also|finally|next|lastly|afterwards|after that|separately|independently|meanwhile|"
    r"in parallel|at the same time|in addition|additionally|first|second|third|otherwise|"
    r"(?:if|unless|once|when|whenever|in case|as soon as|before|after) [^,;]{0,300},)[\s,]+)*"
)
_MESSAGE = (
    r"(?:notify|send|e-?mail|tell|inform|alert|message|announce|publish|page|text|forward|post)\b"
    r"(?!\s+(?:me|us|mortem)\b)"
)
_OPERATION = (
    r"(?:delete|erase|purge|wipe|destroy|drop (?:the|all|table)|deploy|release|roll ?back|restart|"
    r"reboot|shut ?down|stop (?:the|all)|install|uninstall|upgrade|migrate|pay|transfer|refund|"
    r"charge|invoice|buy|purchase|sell|order (?:an?|some|\w+ of)|book|reserve|rent|hire|fire|"
    r"cancel|grant|revoke|disable|unlock|sign|submit|enrol+|register|subscribe|"
    r"schedule (?:an?|the)|call (?!.*\bfunction)|approve|block|"
    r"change (?:the|my) (?:password|permissions?|polic\w+))\b"
)
_COMPUTING = (
    r"(?:calculat\w*|comput\w*|work out|average|multipl\w*|divid\w*|subtract|add up|add|sum|count|"
    r"plot|regress|convert)\b"
)
_LOOKING = (
    r"(?:find|search|look|explain|describe|summar\w*|outline|list|compare|contrast|review|research|"
    r"investigate|analy[sz]e|read|check|verify|show|give|draft|report|determine|identify|collect|"
    r"quote|define|discuss|assess|evaluate|combine|merge|put|synthesi[sz]e|write|save|store|export|"
    r"translate|extract|rank|recommend|suggest|propose|improve|set up|make|create|prepare|build|"
    r"tell|work)\b"
)
_JUDGEABLE = re.compile(
    rf"{_BEGIN}(?:{_MESSAGE}|{_OPERATION}|{_COMPUTING}|{_LOOKING})", re.IGNORECASE
)
_QUESTION = re.compile(
    rf"{_BEGIN}(?:how|what|which|when|where|why|who|whose|is|are|does|do)\b", re.IGNORECASE
)

_SAYS = re.compile(rf"(?:{_BEGIN}|\b(?:and|then)\s+(?:also\s+)?){_MESSAGE}", re.IGNORECASE)
_OPERATES = re.compile(rf"{_BEGIN}{_OPERATION}", re.IGNORECASE)
_WRITES = re.compile(
    r"\b(?:save|write|store|export)\b.{0,80}?(?:\bfile\b|\.\w{2,5}\b|\bdisk\b)",
    re.IGNORECASE | re.DOTALL,
)
_COMPUTES = re.compile(rf"{_BEGIN}{_COMPUTING}", re.IGNORECASE)
_NUMBERS = re.compile(
    r"\d\s*[-+*/^%×÷]\s*\d|\d\s*%|\d[^.;]{0,60}\b(?:days?|hours?|weeks?|percent\w*)\b|"
    r"\b(?:mean|median|average|sum|total|percent\w*|standard deviation|variance|power|how many|"
    r"how much|square root)\b[^.;]{0,200}\d",
    re.IGNORECASE,
)

_ITEM = re.compile(
    r"^[ \t]*(?:(\d+)[.)]|[-*•])[ \t]+"
    r"(\S.*(?:\n[ \t]+(?![ \t]*(?:\d+[.)]|[-*•])[ \t])\S.*)*)",
    re.MULTILINE,
)
_CUT = re.compile(
    r";|[.?!](?=\s)|\n+|:(?=\s)|,?\s+(?:and\s+)?(?:then|afterwards)\s+|,?\s+and\s+(?:also\s+)?|,\s+"
)
_ORDERS = re.compile(
    r"^\W*(?:and\s+)?(?:then|afterwards|after (?:that|this|which)|next|finally|lastly|once|if|"
    r"unless|in case|when|whenever|as soon as|otherwise)\b",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"\b(?:the (?:result|answer|finding|summary|outcome|output|product|quotient|difference)s?"
    r"(?! of\b)|based on|(?:from|using|with|by|to|of|about|multiply|save|send|double|halve|divide|"
    r"store|translate|it names|compare|check|summari[sz]e|review|put|if) (?:it|that|this)\b|"
    r"\bit\b|tell \w+ (?:the|what)|their)\b",
    re.IGNORECASE,
)
_JOINS = re.compile(
    r"\b(?:both|all (?:of )?(?:them|these|this|three|four|results|findings)|them|everything|"
    r"(?:the|these|those|all) (?:results|answers|findings|summaries|pieces|numbers|outputs))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Piece:
    """A piece of work as it was cut out of the text."""

    text: str
    waits: bool = False
    """For the piece before it, by its place."""
    own: str = ""
    """What kind of work it is stands here, when `text` holds more than that."""

    @property
    def work(self) -> str:
        """The words that say what is to be done; what is quoted is material."""
        return _QUOTED.sub(" ", self.own or self.text)


def offline_plan(text: str, *, most_steps: int = MOST_STEPS) -> Plan:
    """Plan a task.

    A numbered list is an order; bullets, sentences and clauses that stand by themselves are
    independent. A step waits for the one before when it says so ("then", "if …,") or points back
    ("the result", "it"), and for all open ones when it joins them ("both", "the findings") or
    reports them to somebody.

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
        after = _waits_for(piece, capability, steps)
        steps.append(PlanStep(f"s{number}", piece.text, capability, tools, after))
    return Plan(tuple(steps))


def kind_of(work: str) -> tuple[str, tuple[str, ...]]:
    """Return the capability and the tools that a piece of work takes, by its verb."""
    asks = _QUESTION.match(work) is not None
    if _SAYS.search(work):
        return "communicate", ("notify",)
    if _OPERATES.match(work) and not asks:
        return OPERATE, ()
    if _WRITES.search(work) and not asks:
        return "write", ("write_file",)
    if _COMPUTES.match(work) or _NUMBERS.search(work):
        return "analysis", ("run_python", "calculate")
    return "research", ("search_memory",)


def _waits_for(piece: _Piece, capability: str, steps: list[PlanStep]) -> tuple[str, ...]:
    if not steps:
        return ()
    awaited = {earlier for step in steps for earlier in step.after}
    ends = tuple(step.id for step in steps if step.id not in awaited)
    if _JOINS.search(piece.work) or (capability == "communicate" and not piece.waits):
        return ends
    if piece.waits or _ORDERS.match(piece.text) or _REFERS.search(piece.work):
        return (steps[-1].id,)
    return ends if capability == OPERATE else ()


def _pieces(text: str) -> list[_Piece]:
    items = list(_ITEM.finditer(text))
    if len(items) < 2:
        return _clauses(text) or [_Piece(text.strip() or text)]
    head = text[: items[0].start()].strip()
    if head and kind_of(head)[0] in {"communicate", OPERATE, "write"}:
        return [_Piece(text.strip(), own=head)]  # the list is what is to be sent, or acted on
    tail = text[items[-1].end() :].strip()
    told = f"{head}\n" if head and not head.endswith(".") else ""
    pieces = [
        _Piece(told + item[2].strip(), waits=bool(item[1]) and place > 0, own=item[2])
        for place, item in enumerate(items)
    ]
    before = _clauses(head) if head.endswith((".", "?", "!")) and _JUDGEABLE.match(head) else []
    after = [
        _Piece(p.text, waits=True, own="") if not i else p for i, p in enumerate(_clauses(tail))
    ]
    return [*before, *pieces, *after]


def _clauses(text: str) -> list[_Piece]:
    """Cut a text where new work begins, and nowhere else."""
    found: list[_Piece] = []
    hidden = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), text)
    start, told, follows = 0, "", False
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
            found.append(_Piece(told + piece, follows, own=piece))
        follows = cut is not None and re.search(r"\b(?:then|afterwards)\b", cut.group()) is not None
        start = cut.end() if cut else stop
    if not found and told:
        return [_Piece(text.strip())]
    return found


def _cuts(before: str, separator: str, rest: str) -> bool:
    """Whether new work begins behind a separator."""
    sentence = separator[0] in ".?!;\n"
    if _SAYS.match(before) and not sentence:
        # What follows belongs to the message, unless another message begins.
        return re.match(_MESSAGE, rest, re.IGNORECASE) is not None and separator != ":"
    if separator == ":":
        return _JUDGEABLE.match(rest) is not None and _JUDGEABLE.match(before) is None
    if re.match(r"\W*(?:if|unless|once|in case)\b", before, re.IGNORECASE) and "," in separator:
        return False  # the comma ends a condition; its consequence belongs to it
    if _JUDGEABLE.match(rest):
        return True
    return sentence and (_QUESTION.match(rest) is not None or _CONDITION.match(rest) is not None)


_ADVERB = re.compile(
    r"\W*(?:separately|independently|meanwhile|also|then|finally|next)\W*", re.IGNORECASE
)
_CONDITION = re.compile(r"\W*(?:if|unless|once|in case|as soon as)\b", re.IGNORECASE)
