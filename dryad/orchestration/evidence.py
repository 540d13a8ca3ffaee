"""What speaks against an answer, seen in what its agent did: no opinion, only what can be checked.

An answer in doubt climbs a ladder: another agent does the same part over (the task becomes a task
force, if it was none), then a person decides. A part that a limit or a lasting fault stopped climbs
it as well. Nothing with an effect outside is ever done over.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dryad.execution.catalogue import TOOLS
from dryad.execution.models.extracts import content_words, sentences, stem
from dryad.orchestration.decision import Decision, Seat
from dryad.orchestration.findings import Finding

HARMLESS = frozenset(spec.name for spec in TOOLS if spec.tier == "read")
"""Tools that may be used again: they read and compute, and change nothing."""

AGAIN = "-again"
"""Ends the name of a member that does another's part over."""

NOBODY: Mapping[str, tuple[str, ...]] = {}
"""No critic objected to anybody."""

_CITATION = re.compile(r"(?<![\w\]])\[(\d{1,4})\]")
_NUMBER = re.compile(r"(?<![\w.\[])-?\d+(?:[.,]\d+)*(?![\w\]])")


@dataclass(frozen=True)
class Rung:
    """One step up the ladder: what was doubted, who was asked about it, and what came of it.

    Attributes:
        member: Whose answer was doubted.
        agent: The agent in that seat.
        doubts: What spoke against the answer.
        step: Who was asked.
        by: The other agent; '' while it is a person's turn.
        outcome: `accepted`, or why it was not; `asked` for a person.
        tokens: What the answer that was not taken had used; 0 for a person.
        cost_usd: The same in USD.
    """

    member: str
    agent: str
    doubts: tuple[str, ...]
    step: Literal["another agent", "a person"]
    by: str
    outcome: str
    tokens: int = 0
    cost_usd: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the rung as the result and the report show it."""
        return asdict(self)


def climb(
    doubted: Sequence[Finding],
    second: Mapping[str, Finding],
    objections: Mapping[str, tuple[str, ...]] = NOBODY,
) -> list[Rung]:
    """Return the rungs climbed for doubted answers; those a person has to stand on come last.

    An answer that nothing but an opinion speaks against stands when no better one was found; a
    person is asked about it only when two such answers contradict each other.

    Args:
        doubted: Answers that evidence or an objection speaks against.
        second: What came of doing them over, by member.
        objections: What a critic said against a member's answer.
    """
    tried: list[Rung] = []
    left: list[Rung] = []
    for first in doubted:
        member, agent, why = first.seat.member, first.seat.agent, doubts(first)
        other = second.get(f"{member}{AGAIN}")
        if other is not None:
            flaws = doubts(other)
            after = flaws or _against(first, other)
            usage = (other if after else first).done.usage
            tried.append(
                Rung(
                    member,
                    agent,
                    (*why, *objections.get(member, ())),
                    "another agent",
                    other.seat.agent,
                    "; ".join(after) or "accepted",
                    usage.tokens,
                    float(usage.cost_usd),
                )
            )
            why = () if flaws and not why else after
        if why:
            left.append(Rung(member, agent, why, "a person", "", "asked"))
    return [*tried, *left]


def _against(first: Finding, second: Finding) -> tuple[str, ...]:
    """Say why a second answer without doubts of its own is not taken either."""
    if not any(_program(first.done.progress.messages)) and contradicts(first, second):
        return ("the two answers give figures that have nothing in common",)
    return ()


def doubts(finding: Finding) -> tuple[str, ...]:
    """Return what speaks against an answer; of a member that was stopped, why it was."""
    done = finding.done
    if done.status == "stopped":
        return (f"it was stopped: {done.reason}",)
    empty = () if done.output.strip() else ("it is empty",)
    return (*empty, *_citations(finding), *_program(done.progress.messages))


def contradicts(first: Finding, second: Finding) -> bool:
    """Whether two answers to the same part give figures that have nothing in common."""
    figures = [set(_NUMBER.findall(f.done.output)) - {"1"} for f in (first, second)]
    return bool(figures[0] and figures[1]) and not figures[0] & figures[1]


def second_seats(decision: Decision, doubted: Sequence[Finding]) -> list[Seat]:
    """Return who does doubted parts over: the next best agent, or the same where there is none.

    Parts in which a tool with an effect was used are left out.
    """
    return [
        Seat(f"{f.seat.member}{AGAIN}", _next_best(decision, f.seat), f.seat.steps, f.seat.after)
        for f in doubted
        if _called(f) <= HARMLESS
    ]


def _called(finding: Finding) -> set[str]:
    """Return the tools a member used or was about to use when it was stopped."""
    progress = finding.done.progress
    wanted = {
        part["tool_name"]
        for message in progress.messages
        for part in message.get("parts", ())
        if part.get("part_kind") == "tool-call"
    }
    return wanted | {use.tool for use in progress.tools}


def _next_best(decision: Decision, seat: Seat) -> str:
    capability = {step["id"]: step["capability"] for step in decision.details["plan"]}
    choices: Mapping[str, Mapping[str, Any]] = decision.details["situation"]["capable"]
    wanted = [choices.get(capability[step], {}).get("others", ()) for step in seat.steps]
    return next((agent for agent in wanted[0] if all(agent in one for one in wanted)), seat.agent)


def _citations(finding: Finding) -> Iterator[str]:
    """Yield citations of nothing, and sentences that their source does not speak of."""
    done = finding.done
    shown = {source.number: source for source in done.progress.sources}
    if not shown and done.progress.tools:
        return  # a number in brackets is a figure here
    for sentence in sentences(done.output):
        said = {stem(word) for word in content_words(_CITATION.sub(" ", sentence))}
        for number in dict.fromkeys(int(found) for found in _CITATION.findall(sentence)):
            if number not in shown:
                yield f"it cites [{number}], which it was never shown"
                continue
            source = shown[number]
            there = {stem(word) for word in content_words(f"{source.title} {source.text}")}
            if len(said & there) < min(2, len(said)):
                yield f"source [{number}] does not speak of: {sentence[:120]}"


def _program(messages: Sequence[Any]) -> Iterator[str]:
    """Yield that the last program did not run to its end."""
    codes = [
        part["content"]["result"]["exit_code"]
        for message in messages
        for part in message.get("parts", ())
        if part.get("part_kind") == "tool-return"
        and part.get("tool_name") == "run_python"
        and isinstance(part.get("content"), Mapping)
        and isinstance(part["content"].get("result"), Mapping)
        and "exit_code" in part["content"]["result"]
    ]
    if codes and codes[-1] != 0:
        yield f"its program ended with exit code {codes[-1]}"
