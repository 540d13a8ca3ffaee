"""Each process is killed at each step of ask, answer, execute, while enrolled reviewers decide.

In every cell one letter is allowed and one refused. The receiver says what happened: the first
arrives once, the second never, and a call of which nobody can know is asked about.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.reviewers import Device, Reviewed, reviewed
from tests.e2e.road import run_state
from tests.servers import wait_for
from tests.web import accept, serve

RUN = "run"
VICTIMS = (RUN, "worker", "API", "keeper", "Prefect server")
STEPS = ("asking", "waiting", "answered", "executing", "sent")
SAMPLE = [(RUN, "executing"), ("Prefect server", "answered")]
SEEN_SECONDS = 1.5
"""How long a question waits, so that who follows the inbox sees it; each second that looks."""
HOLDS_SECONDS = 5.0
"""How long the receiver takes to confirm a letter, where a process dies meanwhile."""


def eventually(what: str, holds: Callable[[], bool], *, seconds: float = 180) -> None:
    """Wait for something, whatever is dead meanwhile."""

    def probe() -> bool:
        try:
            return holds()
        except httpx.HTTPError:
            return False

    wait_for(what, probe, seconds=seconds)


def strike(house: Reviewed, victim: str, run: str) -> bool:
    """Kill a process at once; whether there was one."""
    installation = house.installation
    if victim == RUN:
        found = [process.pid for process in installation.carriers(run)]
    else:
        found = [pid for pid in [installation.pid(victim)] if pid]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found != []


def unanswered(house: Reviewed, task: str) -> list[dict[str, Any]]:
    return [case for case in house.task(task)["cases"] if not case["verdict"]]


def decide(house: Reviewed, case: int, word: str, who: Device, reply: str = "") -> None:
    """Answer until it is taken: the API may die over it, and the answer count all the same."""
    body = {"decision": word, "reason": f"{who.name} says so", "approver": who.name}
    body |= {"reply": reply} if reply else {}

    def taken() -> bool:
        if house.case(case)["verdict"]:
            return True
        with house.installation.api() as api:
            path, query = f"/api/v1/consultations/{case}/answer", {"tenant": house.tenant}
            answer = api.post(path, params=query, json=body | {"code": who.code()})
        return answer.is_success

    eventually(f"the answer to question #{case}", taken)


def doubts(house: Reviewed, receiver: Receiver, task: str, text: str) -> list[int]:
    """Look outside, as a person would, and say what came of each call nobody knows of."""
    found = [case for case in unanswered(house, task) if case["kind"] == "guidance"]
    for case in found:
        if text in receiver.messages(task):
            decide(house, case["id"], "reply", house.enrol(), "It was sent.")
        else:
            decide(house, case["id"], "approve", house.enrol())
    return [case["id"] for case in found]


def cell(house: Reviewed, receiver: Receiver, victim: str, step: str) -> str:
    """Kill `victim` at `step`; return what there is to say of it."""
    name = f"{victim} {step}".lower()
    yes, no = (
        house.submit(f"Notify the operators that {name} {gate} opens.") for gate in ("A", "B")
    )
    ada, bea = house.enrol(), house.enrol()
    eventually("the run", lambda: house.task(yes)["run"] is not None)
    run, struck = house.task(yes)["run"], False

    def now(moment: str) -> bool:
        return moment == step and strike(house, victim, run)

    if step == "asking":
        state = lambda: run_state(house.installation, run)["type"]  # noqa: E731
        eventually("its process", lambda: state() != "SCHEDULED")
    struck |= now("asking")
    for task in (yes, no):
        eventually("the question", lambda task=task: unanswered(house, task) != [])
    questions = [unanswered(house, task)[0]["id"] for task in (yes, no)]
    struck |= now("waiting")
    time.sleep(SEEN_SECONDS)
    receiver.slow = HOLDS_SECONDS if step == "executing" else 0
    decide(house, questions[0], "approve", ada)
    decide(house, questions[1], "reject", bea)
    struck |= now("answered")
    text = f"{name} A opens"
    if step in {"executing", "sent"}:
        eventually("the letter", lambda: receiver.messages(yes) != [])
        struck |= strike(house, victim, run)
    receiver.slow = 0
    doubtful: list[int] = []

    def ended(task: str, end: str) -> bool:
        doubtful.extend(doubts(house, receiver, task, text))
        return house.task(task)["status"] == end

    eventually(f"the end of {yes}", lambda: ended(yes, "done"))
    eventually(f"the end of {no}", lambda: ended(no, "rejected"))
    assert receiver.messages(yes) == [text]
    assert receiver.messages(no) == []
    listed = [case for task in (yes, no) for case in house.task(task)["cases"]]
    assert [case["id"] for case in listed if case["kind"] == "guidance"] == doubtful
    if (victim, step) == (RUN, "executing"):
        assert doubtful  # it died between the letter and its own record of it
    return ("struck" if struck else "nobody there") + (", doubted" if doubtful else "")


@contextmanager
def watched(house: Reviewed) -> Generator[list[dict[str, Any]]]:
    """Watch the inbox meanwhile; yields what is told."""
    installation, told = house.installation, list[dict[str, Any]]()
    command = [sys.executable, "-P", "-m", "dryad", "inbox", "--watch", "--json"]
    with subprocess.Popen(
        [*command, "--tenant", house.tenant],
        cwd=installation.directory, env=installation.environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as watcher:  # fmt: skip
        assert watcher.stdout is not None
        assert watcher.stderr is not None
        assert "following the inbox" in watcher.stderr.readline()
        try:
            yield told
            time.sleep(HOLDS_SECONDS)  # the last ones are told within a second or two
        finally:
            watcher.terminate()  # an interrupt is ignored by what was begun in the background
            told += [json.loads(line) for line in watcher.stdout]


def nothing_told_of_is_left_open(house: Reviewed, told: list[dict[str, Any]]) -> None:
    """What was told as opened was told as closed, over all deaths of the API."""
    with house.installation.api() as api:
        tasks = api.get("/api/v1/tasks", params={"tenant": house.tenant, "limit": 100}).json()
    asked = {case["id"] for task in tasks["items"] for case in house.task(task["id"])["cases"]}
    opened = {event["case"]["id"] for event in told if event["event"] == "opened"}
    assert opened
    assert opened <= asked
    assert {event["case"] for event in told if event["event"] == "closed"} == opened


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_what_reviewers_said_is_what_happens_whoever_is_killed(
    restless: Installation, receiver: Receiver
):
    with reviewed(restless, receiver, tenant="reviewed-killed") as house, watched(house) as told:
        for victim, step in SAMPLE:
            cell(house, receiver, victim, step)
    nothing_told_of_is_left_open(house, told)


@pytest.mark.soak
@pytest.mark.parametrize("victim", VICTIMS)
def test_every_process_is_killed_at_every_step(
    start: Callable[..., Installation],
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
    victim: str,
):
    with serve(accept(200)) as channel:
        installation = start(
            "killed", DRYAD_LEASE="5s", DRYAD_CRASH_QUIET="3s", DRYAD_WORKER_POLL="500ms",
            DRYAD_REVIEW_WEBHOOK=channel.url,
        )  # fmt: skip
        with reviewed(installation, receiver, tenant="reviewed") as house, watched(house) as told:
            cells = {step: cell(house, receiver, victim, step) for step in STEPS}
        nothing_told_of_is_left_open(house, told)
        [audit] = installation.json("audit", "verify", "--tenant", "reviewed")
        assert audit["intact"], audit
        names = {str(message.body["task"]) for message in channel.received}
        installation.dryad("down")
    assert names
    secrets = [value for value in installation.secrets.values() if isinstance(value, str)]
    for message in channel.received:
        assert not [value for value in secrets if value in json.dumps(message.body)]
        assert "opens" not in json.dumps(message.body)
    with capsys.disabled():
        tally = Counter(cells.values())
        print(f"\n{victim} killed: {cells}; {dict(tally)}; {len(names)} tasks told of")  # noqa: T201 - the figures are quoted
