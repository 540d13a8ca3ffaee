"""A process may die between any two commits: nothing happens twice, nothing is lost silently."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from dryad.execution.agent_loop import advance
from dryad.execution.episodes import Asks, Done, Episode, Verdict
from dryad.execution.models.language import Language
from dryad.execution.steps import Approval, Recorded, StepLog
from dryad.foundation.ids import RunId
from tests.dryad.execution.conftest import ACME, Desk, episode, talking_to
from tests.web import Server, accept, scripted, serve

SCRIPT = scripted(
    [("notify", {"to": "ops", "message": "one"})],
    [("write_file", {"path": "a.txt", "content": "hi"}), ("calculate", {"expression": "6 * 7"})],
    [("notify", {"to": "ops", "message": "two"}), ("notify", {"to": "ops", "message": "three"})],
    "All done.",
)


class Killed(Exception):
    """The process is gone."""


class Mortal:
    """A step log whose process dies at the n-th moment: before or after a commit."""

    def __init__(self, steps: StepLog, dies_at: int) -> None:
        self._steps = steps
        self._dies_at = dies_at
        self.moments = 0

    def _moment(self) -> None:
        self.moments += 1
        if self.moments == self._dies_at:
            raise Killed

    def find(self, path: str, ordinal: int, inputs: Any) -> Recorded | None:
        return self._steps.find(path, ordinal, inputs)

    def intend(
        self, path: str, ordinal: int, inputs: Any, *, approval: Approval | None = None
    ) -> None:
        self._moment()
        self._steps.intend(path, ordinal, inputs, approval=approval)
        self._moment()

    def record(self, path: str, ordinal: int, inputs: Any, outcome: Any) -> Any:
        self._moment()
        recorded = self._steps.record(path, ordinal, inputs, outcome)
        self._moment()
        return recorded

    def doubt(self, path: str, ordinal: int) -> None:
        self._moment()
        self._steps.doubt(path, ordinal)
        self._moment()


async def attempt(desk: Desk, model: Language, what: Episode, dies_at: int = 0) -> Any:
    """Carry the run as one process; None when it died."""
    steps = Mortal(desk.steps(what.run), dies_at)
    try:
        return await advance(what, model=model, tools=desk.caller("messenger"), steps=steps)
    except Killed:
        return None
    finally:
        desk.moments = steps.moments


def answers(asks: Asks, outside: Server, case: int) -> dict[str, Verdict]:
    """Look outside, as a person would, and say what came of each doubtful call."""
    arrived = {letter.body["message"] for letter in outside.received}
    return {
        question.call_id: Verdict("reply", case=case, reply="It was sent.")
        if question.arguments["message"] in arrived
        else Verdict("approve", case=case)
        for question in asks.questions
    }


async def carry(desk: Desk, model: Language, run: RunId, outside: Server, dies_at: int) -> Any:
    """Carry a run to its end with one death on the way; return its end and the doubts."""
    what = episode("Go.", "messenger", run=run)
    end = await attempt(desk, model, what, dies_at)
    doubts: list[str] = []
    while not isinstance(end, Done):
        if isinstance(end, Asks):
            assert {question.kind for question in end.questions} == {"doubt"}
            doubts += [question.arguments["message"] for question in end.questions]
            verdicts = answers(end, outside, dies_at * 10 + what.number)
            what = replace(what, number=what.number + 1, progress=end.progress, verdicts=verdicts)
        end = await attempt(desk, model, what)
    return end, doubts


MOMENTS = 30
"""The tools shown, four answers, five calls: commits, with a moment before and after each."""


async def die(desk: Desk, moments: Iterable[int]) -> None:
    """Carry a run once for each moment, dying there; what happens must always be the same."""
    desk.policy.approval_tier = "authority"
    desk.tools.grant(ACME, "messenger", "calculate")
    with serve(accept()) as outside, serve(SCRIPT) as provider:
        desk.tools.configure(ACME, "notify", "1", {"url": outside.url})
        model = talking_to(provider.url)
        whole, doubts = await carry(desk, model, RunId("run-0"), outside, 0)
        assert doubts == []
        assert desk.moments == MOMENTS
        for dies_at in moments:
            outside.received.clear()
            asked_before = len(provider.received)
            end, doubts = await carry(desk, model, RunId(f"run-{dies_at}"), outside, dies_at)
            happened = Counter(letter.body["message"] for letter in outside.received)
            assert happened == {"one": 1, "two": 1, "three": 1}, dies_at
            assert (end.output, end.usage.tokens) == (whole.output, whole.usage.tokens)
            assert [use.tool for use in end.progress.tools].count("calculate") == 1
            assert len(doubts) <= 1, dies_at
            asked = len(provider.received) - asked_before
            assert asked <= 5, dies_at  # an answer that was recorded is not asked for again


async def test_a_death_at_some_moments_changes_nothing_that_happens(desk: Desk):
    await die(desk, range(2, MOMENTS, 7))


@pytest.mark.soak
async def test_a_death_at_every_moment_changes_nothing_that_happens(desk: Desk):
    await die(desk, range(1, MOMENTS + 1))


async def test_a_doubtful_effect_is_announced_exactly_where_it_may_have_happened(desk: Desk):
    desk.policy.approval_tier = "authority"
    desk.tools.grant(ACME, "messenger", "calculate")
    found: list[tuple[str, int]] = []
    with serve(accept()) as outside, serve(SCRIPT) as provider:
        desk.tools.configure(ACME, "notify", "1", {"url": outside.url})
        model = talking_to(provider.url)
        for dies_at in range(5, 10):  # around the first call: announced, made, recorded
            outside.received.clear()
            run = RunId(f"run-{dies_at}")
            assert await attempt(desk, model, episode("Go.", "messenger", run=run), dies_at) is None
            end = await attempt(desk, model, episode("Go.", "messenger", run=run))
            found.append((type(end).__name__, Counter(
                letter.body["message"] for letter in outside.received)["one"]))  # fmt: skip
    assert found == [("Done", 1), ("Asks", 0), ("Asks", 1), ("Done", 1), ("Done", 1)]
