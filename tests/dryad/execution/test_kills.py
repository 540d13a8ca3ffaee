"""A process is killed with SIGKILL at each boundary of a run of twelve steps; another goes on."""

import json
import multiprocessing
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dryad.execution.episodes import Asks, Done, Episode, Verdict, end_from_json, to_json
from dryad.foundation.ids import RunId
from tests.dryad.execution import carrier
from tests.dryad.execution.carrier import Place
from tests.dryad.execution.conftest import ACME, Desk, episode
from tests.web import Server, accept, scripted, serve

SCRIPT = scripted(
    [("notify", {"to": "ops", "message": "one"})],
    [("write_file", {"path": "a.txt", "content": "hi"}), ("calculate", {"expression": "6 * 7"})],
    [("notify", {"to": "ops", "message": "two"}), ("notify", {"to": "ops", "message": "three"})],
    [("write_file", {"path": "a.txt", "content": "ho"}), ("calculate", {"expression": "1 + 1"})],
    "All done.",
)
SAMPLE = (7, 20, 33)
MOMENTS = 40
"""Of twelve steps, five answers and seven calls, and of the tools shown: before and after each
commit."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([carrier.__name__])


def attempt(place: Place, what: Episode, dies_at: int = 0) -> tuple[Done | Asks | None, int]:
    """Carry an episode in a process of its own; its end, None when it was killed, and moments."""
    Path(place.end).unlink(missing_ok=True)
    process = _processes.Process(target=carrier.carry, args=(place, to_json(what), dies_at))
    process.start()
    process.join(60)
    if process.exitcode == -signal.SIGKILL:
        return None, dies_at
    assert process.exitcode == 0, process.exitcode
    told = json.loads(Path(place.end).read_text())
    return end_from_json(told["end"]), told["moments"]


def answers(asks: Asks, outside: Server, case: int) -> dict[str, Verdict]:
    """Look outside, as a person would, and say what came of each doubtful call."""
    arrived = {letter.body["message"] for letter in outside.received}
    return {
        question.call_id: Verdict("reply", case=case, reply="It was sent.")
        if question.arguments["message"] in arrived
        else Verdict("approve", case=case)
        for question in asks.questions
    }


def carried(place: Place, run: RunId, outside: Server, dies_at: int) -> tuple[Done, list[str], int]:
    """Carry a run to its end with one kill on the way: the end, the doubts, the first moments."""
    what = episode("Go.", "messenger", run=run)
    end, moments = attempt(place, what, dies_at)
    doubts: list[str] = []
    while not isinstance(end, Done):
        if isinstance(end, Asks):
            assert {question.kind for question in end.questions} == {"doubt"}
            doubts += [question.arguments["message"] for question in end.questions]
            verdicts = answers(end, outside, dies_at * 10 + what.number)
            what = replace(what, number=what.number + 1, progress=end.progress, verdicts=verdicts)
        end, _ = attempt(place, what)
    return end, doubts, moments


def kill(
    desk: Desk, database_url: str, folder: Path, moments: Iterable[int]
) -> dict[int, list[str]]:
    """Kill a run once at each moment; what happens must always be the same.

    Returns:
        The moments that left a call in doubt, and what each of these calls was to say.
    """
    desk.tools.grant(ACME, "messenger", "calculate")
    with serve(accept()) as outside, serve(SCRIPT) as provider:
        desk.tools.configure(ACME, "notify", "1", {"url": outside.url})
        place = Place(database_url, provider.url, str(desk.workspaces), str(folder / "end.json"))
        whole, doubts, found = carried(place, RunId("run-0"), outside, 0)
        assert (doubts, found, whole.usage.steps) == ([], MOMENTS, 12)
        doubtful: dict[int, list[str]] = {}
        for dies_at in moments:
            outside.received.clear()
            asked: Any = len(provider.received)
            end, doubts, _ = carried(place, RunId(f"run-{dies_at}"), outside, dies_at)
            happened = Counter(letter.body["message"] for letter in outside.received)
            assert happened == {"one": 1, "two": 1, "three": 1}, dies_at
            assert (end.output, end.usage.tokens) == (whole.output, whole.usage.tokens)
            assert len(provider.received) - asked <= 6, dies_at  # no recorded answer asked again
            assert (desk.workspaces / ACME / "task-1/a.txt").read_text() == "ho"
            if doubts:
                doubtful[dies_at] = doubts
            calls = Counter(
                call.outcome
                for call in desk.history.executions(ACME)
                if call.run == f"run-{dies_at}"
            )
            # What a person answered instead was not called again; what was repeated is a new step.
            assert calls["doubtful"] == len(doubts), dies_at
            assert 6 <= calls["done"] <= 7, dies_at
            assert calls.total() == calls["done"] + calls["doubtful"], dies_at
        assert all(len(told) == 1 for told in doubtful.values())
        return doubtful


def test_a_killed_run_goes_on_where_it_was(desk: Desk, database_url: str, tmp_path: Path):
    assert kill(desk, database_url, tmp_path, SAMPLE)


@pytest.mark.soak
def test_a_run_is_killed_at_every_boundary(
    desk: Desk, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    doubtful = kill(desk, database_url, tmp_path, range(1, MOMENTS + 1))
    # In doubt is what was announced and not reported: after the intent, and before the outcome.
    assert Counter(told for [told] in doubtful.values()) == {"one": 2, "two": 2, "three": 2}
    with capsys.disabled():
        print(f"\n{MOMENTS} kills on {database_url.partition(':')[0]}; in doubt: {doubtful}")  # noqa: T201 - the figures are quoted
