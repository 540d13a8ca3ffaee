"""What a task comes down to: steps, what each needs, and which wait for which.

The offline planner reads the text alone. It is rule-based and says so: it sees lists, clauses and
words of order, and knows a step's capability by its verb. It never invents a step.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from dryad.foundation.errors import InvalidRequest

MAX_STEPS = 20


@dataclass(frozen=True)
class PlanStep:
    """One piece of work: what is to be done, what it takes, and what must be finished before."""

    id: str
    text: str
    capability: str
    tools: tuple[str, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which they can be done; dependencies form no cycle."""

    steps: tuple[PlanStep, ...]

    def __post_init__(self) -> None:
        known = {step.id for step in self.steps}
        if not self.steps or len(self.steps) > MAX_STEPS or len(known) != len(self.steps):
            raise InvalidRequest(f"a plan has 1 to {MAX_STEPS} steps with different ids")
        for step in self.steps:
            if unknown := set(step.after) - known:
                raise InvalidRequest(f"step {step.id} waits for unknown {sorted(unknown)}")
        try:
            tuple(TopologicalSorter({s.id: s.after for s in self.steps}).static_order())
        except CycleError as error:
            raise InvalidRequest(f"the plan waits for itself: {error.args[1]}") from error

    @property
    def tools(self) -> frozenset[str]:
        """Every tool the plan would use."""
        return frozenset(tool for step in self.steps for tool in step.tools)

    @property
    def capabilities(self) -> frozenset[str]:
        """Every capability the plan needs."""
        return frozenset(step.capability for step in self.steps)

    def branches(self) -> tuple[tuple[PlanStep, ...], ...]:
        """Return the groups of steps that share no dependency: each can go on by itself."""
        group = {step.id: step.id for step in self.steps}

        def root(step_id: str) -> str:
            while group[step_id] != step_id:
                step_id = group[step_id]
            return step_id

        for step in self.steps:
            for earlier in step.after:
                group[root(step.id)] = root(earlier)
        grouped: dict[str, list[PlanStep]] = {}
        for step in self.steps:
            grouped.setdefault(root(step.id), []).append(step)
        return tuple(tuple(steps) for steps in grouped.values())

    def to_json(self) -> list[dict[str, Any]]:
        """Return the steps as JSON objects; `from_json` reads them back."""
        return [asdict(step) for step in self.steps]

    @staticmethod
    def from_json(steps: Iterable[dict[str, Any]]) -> "Plan":
        """Read what `to_json` wrote.

        Raises:
            InvalidRequest: the steps are no plan.
        """
        return Plan(
            tuple(
                PlanStep(
                    id=step["id"],
                    text=step["text"],
                    capability=step["capability"],
                    tools=tuple(step["tools"]),
                    after=tuple(step["after"]),
                )
                for step in steps
            )
        )


_KINDS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    (
        "communicate",
        ("notify",),
        re.compile(
            r"\b(notify|send|e-?mail|post (?:it|this|the|a) .*\bto\b|tell|inform|alert|message|"
            r"announce|publish|page)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "write",
        ("write_file",),
        re.compile(
            r"\b(save|write|store|export)\b.{0,60}\b(file|\.\w{2,5}\b|disk)",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        "analysis",
        ("run_python", "calculate"),
        re.compile(
            r"\b(calculat\w*|comput\w*|averag\w*|mean|median|sum|total|percent\w*|multipl\w*|"
            r"divid\w*|standard deviation|variance|count|plot|regress\w*|convert)\b"
            r"|\d\s*[-+*/^%×÷]\s*\d",
            re.IGNORECASE,
        ),
    ),
)
_RESEARCH = ("research", ("search_memory",))

_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+(.+)$", re.MULTILINE)
_ORDERED_ITEM = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)
_CLAUSE = re.compile(r"(?:;|\.\s+|\n+|,?\s+(?:and\s+)?then\s+|,?\s+and\s+(?:also\s+)?(?=[a-z]+\b))")
_THEN = re.compile(r"^\W*(?:and\s+)?(?:then|afterwards|after that|next|finally)\b", re.IGNORECASE)
_BACKWARD = re.compile(
    r"\b(?:the (?:result|answer|finding|summary|outcome|output|total|average|mean)s?(?! of\b)|"
    r"based on|from (?:it|that|this|them)|using (?:it|that|this|them)|with (?:it|that)|"
    r"send (?:it|them)|tell \w+ (?:the|what)|compare (?:them|both)|both)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"^\W*(?:how|what|which|when|where|why|who)\b", re.IGNORECASE)
_VERBS = re.compile(
    r"^\W*(?:please\s+)?(?:then\s+|also\s+|finally\s+|next\s+)*(?:calculat|comput|find|search|look|"
    r"explain|describ|summar|list|compare|notify|send|e-?mail|tell|inform|write|save|store|export|"
    r"plot|count|convert|sum|average|give|show|check|read|"
    r"analy[sz]e|review|draft|announce|publish|alert|post|message|determine|collect|report|work)",
    re.IGNORECASE,
)


def offline_plan(text: str) -> Plan:
    """Plan a task from its text alone, without a model.

    Numbered lists and words like "then" or "the result" make a step wait for the one before;
    bullets and clauses that stand by themselves are independent.

    Args:
        text: The task, any language; what is not understood becomes one research step.

    Returns:
        A plan of at most `MAX_STEPS` steps; further clauses are joined into the last one.
    """
    pieces = _pieces(text)
    steps: list[PlanStep] = []
    for number, (piece, waits) in enumerate(pieces, start=1):
        capability, tools = _kind(piece)
        refers_back = waits or _THEN.match(piece) or _BACKWARD.search(piece)
        after = (steps[-1].id,) if steps and refers_back else ()
        if steps and capability == "communicate" and not after:
            after = tuple(step.id for step in steps)  # a message reports what was done before it
        steps.append(PlanStep(f"s{number}", piece, capability, tools, after))
    return Plan(tuple(steps))


def _pieces(text: str) -> list[tuple[str, bool]]:
    """Cut a text into pieces of work: (text, must it wait for the piece before)."""
    items = _ITEM.findall(text)
    if len(items) >= 2:
        ordered = bool(_ORDERED_ITEM.search(text))
        found = [(item.strip(), ordered and index > 0) for index, item in enumerate(items)]
    else:
        found = _clauses(text)
    if len(found) > MAX_STEPS:
        rest = "\n".join(piece for piece, _ in found[MAX_STEPS - 1 :])
        found = [*found[: MAX_STEPS - 1], (rest, True)]
    return found or [(text.strip() or text, False)]


def _clauses(text: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    start = 0
    for cut in [*_CLAUSE.finditer(text), None]:
        stop = cut.start() if cut else len(text)
        piece = text[start:stop].strip(" ,.;\n")
        follows = bool(found) and bool(re.search(r"\bthen\b", text[max(0, start - 8) : start]))
        if cut is not None and not _begins_work(text[cut.end() :], cut.group()):
            continue
        if piece:
            found.append((piece, follows))
        start = cut.end() if cut else stop
    return found


def _begins_work(rest: str, separator: str) -> bool:
    """Whether a clause is work by itself: an order, or a question that starts a new sentence."""
    if _VERBS.match(rest):
        return True
    return "and" not in separator and bool(_QUESTION.match(rest))


def _kind(piece: str) -> tuple[str, tuple[str, ...]]:
    for capability, tools, pattern in _KINDS:
        if pattern.search(piece):
            return capability, tools
    return _RESEARCH
