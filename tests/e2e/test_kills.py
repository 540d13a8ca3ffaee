"""Processes are killed at random while tasks are done: nothing is lost, nothing happens twice.

The moments come from `DRYAD_TEST_SEED`; the same seed kills the same processes in the same order,
though what they are doing then is the machine's to say.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.road import LETTER, inbox, reply, submit
from tests.servers import wait_for

SEED = int(os.environ.get("DRYAD_TEST_SEED", "7"))
RUN = "run"
VICTIMS = ("worker", "Prefect server", "API", "keeper", RUN, RUN)
TEXTS = (
    "What happens to a task when its flow run is suspended?",
    "Calculate the mean of 12, 15, 18 and 27.",
    LETTER,
    "Explain what the keeper does; calculate the sum of 3, 4 and 5.",
    LETTER,
)


@dataclass
class Chaos:
    """Kills processes of an installation, and answers its questions meanwhile."""

    installation: Installation
    dice: random.Random
    kills: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])

    def strike(self, victim: str) -> None:
        """Kill one process, if there is one."""
        if victim == RUN:
            carriers = self.installation.carriers()
            target = self.dice.choice(carriers).pid if carriers else 0
        else:
            target = self.installation.pid(victim)
        if target:
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)
                self.kills[victim] += 1

    @contextmanager
    def reviewed(self) -> Generator[None]:
        """Approve every plan and call; leave every doubtful call as it is."""
        ended = threading.Event()

        def review() -> None:
            while not ended.wait(0.5):
                with suppress(httpx.HTTPError):  # the API is dead or starts; asked again
                    for case in inbox(self.installation):
                        word = "reject" if case["kind"] == "guidance" else "approve"
                        if reply(self.installation, case["id"], word).is_success:
                            self.answered[case["kind"]] += 1

        reviewer = threading.Thread(target=review)
        reviewer.start()
        try:
            yield
        finally:
            ended.set()
            reviewer.join()


def patiently(call: Callable[[], Any], *, seconds: float = 90) -> Any:
    """Return what `call` returns once the API lives."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def unended(installation: Installation, tasks: list[str]) -> list[dict[str, Any]]:
    rows = [patiently(lambda task=task: installation.task(task)) for task in tasks]
    return [row for row in rows if row["status"] in {"submitted", "running", "waiting", "held"}]


def do_tasks_under_kills(
    installation: Installation,
    *,
    tasks: int,
    kills: int,
    apart: tuple[float, float],
    seconds: float,
) -> tuple[list[str], Chaos]:
    """Submit tasks between kills; return them when all have ended, and what was killed."""
    chaos = Chaos(installation, random.Random(SEED))
    order = [chaos.dice.choice(VICTIMS) for _ in range(kills)]
    made: list[str] = []
    with chaos.reviewed():
        for number, victim in enumerate(order, start=1):
            while len(made) < tasks * number // kills:
                text, key = TEXTS[len(made) % len(TEXTS)], f"chaos-{SEED}-{tasks}-{len(made)}"
                made.append(patiently(lambda: submit(installation, text, idempotency_key=key)))  # noqa: B023 - called at once
            time.sleep(chaos.dice.uniform(*apart))
            chaos.strike(victim)
        wait_for("every task's end", lambda: not unended(installation, made), seconds=seconds)
    return made, chaos


def ended_truthfully(installation: Installation, tasks: list[str], receiver: Receiver) -> str:
    """Every task has ended as what happened outside says; return the tally."""
    tally: Counter[str] = Counter()
    for task in tasks:
        row = patiently(lambda task=task: installation.task(task))
        sent = len(receiver.messages(task))
        doubted = any(case["kind"] == "guidance" for case in row["cases"])
        assert row["status"] in {"done", "failed"}, row
        assert row["reason"] or row["status"] == "done", row
        assert all(case["verdict"] for case in row["cases"]), row
        assert sent <= 1, f"{task} sent {sent} letters"
        if row["text"] == LETTER and row["status"] == "done" and not doubted:
            assert sent == 1, row
        if row["text"] != LETTER:
            assert sent == 0
        tally[row["status"] + (", doubted" if doubted else "")] += 1
    return ", ".join(f"{count} {what}" for what, count in sorted(tally.items()))


def verified(installation: Installation) -> None:
    [audit] = installation.json("audit", "verify", "--tenant", "default")
    assert audit["intact"], audit
    assert audit["rows"] > 0


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with receiving() as receiver:
        yield receiver


def send_to(installation: Installation, receiver: Receiver) -> None:
    installation.dryad("tools", "configure", "notify", f'{{"url": "{receiver.url}"}}')


def test_five_tasks_end_truthfully_while_processes_are_killed(
    restless: Installation, receiver: Receiver
):
    send_to(restless, receiver)
    tasks, chaos = do_tasks_under_kills(restless, tasks=5, kills=5, apart=(1, 4), seconds=240)
    assert chaos.kills.total() >= 3
    ended_truthfully(restless, tasks, receiver)
    verified(restless)


@pytest.mark.soak
def test_nothing_outlives_a_killed_instance_and_the_next_one_starts_clean(restless: Installation):
    task = submit(restless, TEXTS[0])
    assert len(restless.processes()) >= 5
    os.kill(restless.pid("dryad up"), signal.SIGKILL)
    wait_for("the end of every process", lambda: not restless.processes(), seconds=10)
    restless.dryad("up", "--detach", seconds=300)
    assert {row["state"] for row in restless.json("status")} == {"ready"}
    restless.until(task, "done", seconds=180)


@pytest.mark.soak
def test_thirty_tasks_end_truthfully_while_processes_are_killed(
    start: Callable[..., Installation], receiver: Receiver, capsys: pytest.CaptureFixture[str]
):
    soaked = start("soak", DRYAD_LEASE="5s", DRYAD_CRASH_QUIET="3s", DRYAD_WORKER_POLL="500ms")
    send_to(soaked, receiver)
    began = time.monotonic()
    tasks, chaos = do_tasks_under_kills(soaked, tasks=30, kills=30, apart=(2, 12), seconds=1800)
    minutes = (time.monotonic() - began) / 60
    tally = ended_truthfully(soaked, tasks, receiver)
    verified(soaked)
    soaked.dryad("down")
    assert soaked.processes() == []
    with capsys.disabled():
        killed = ", ".join(f"{count} {name}" for name, count in sorted(chaos.kills.items()))
        answered = ", ".join(f"{count} {kind}" for kind, count in sorted(chaos.answered.items()))
        print(f"\nseed {SEED}: killed {killed}; answered {answered}; {tally}; {minutes:.1f} min")  # noqa: T201 - the figure is quoted
