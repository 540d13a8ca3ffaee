"""A cancelled task stops, wherever it is and whoever cancels it; a waiting one outlives the worker.

In each place three things are looked at: the task's row, the processes, and what was sent.
"""

import os
import signal
from collections.abc import Callable, Generator
from typing import Any

import pytest

from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.road import (
    LETTER,
    SLEEP,
    SLEEPER,
    asleep,
    inbox,
    provide_sleeper,
    question,
    reply,
    run_state,
    submit,
)
from tests.e2e.ui import Ui, signed_in
from tests.servers import wait_for

GONE_SECONDS = 10
"""What a process may live on after its task was cancelled."""
BEGINS_SECONDS = 30
"""One that is being started first imports everything, then sees that it may not begin."""


@pytest.fixture(scope="module")
def receiver(restless: Installation) -> Generator[Receiver]:
    with receiving() as receiver:
        restless.dryad("tools", "configure", "notify", f'{{"url": "{receiver.url}"}}')
        yield receiver


@pytest.fixture(scope="module")
def sleeper(restless: Installation) -> str:
    return provide_sleeper(restless)


def by_api(installation: Installation, task: str) -> None:
    with installation.api() as api:
        body = {"reason": "no longer wanted"}
        api.post(f"/api/v1/tasks/{task}/cancel", json=body).raise_for_status()
    assert installation.task(task)["status"] == "cancelled"


def by_prefect(installation: Installation, task: str) -> None:
    """Ask the server exactly what its UI asks."""
    run = run_of(installation, task)
    with installation.prefect() as prefect:
        state = {"type": "CANCELLING", "name": "Cancelling"}
        asked = {"state": state, "force": True}
        prefect.post(f"/flow_runs/{run}/set_state", json=asked).raise_for_status()


def run_of(installation: Installation, task: str) -> str:
    wait_for("the run", lambda: installation.task(task)["run"] is not None, seconds=30)
    return str(installation.task(task)["run"])


def ends_cancelled(installation: Installation, task: str, *, seconds: float = GONE_SECONDS) -> None:
    """The row, the run and the processes agree, and nothing is asked any more."""
    run = run_of(installation, task)
    wait_for("its process's end", lambda: not installation.carriers(run), seconds=seconds)
    installation.until(task, "cancelled", seconds=30)
    wait_for("the run", lambda: run_state(installation, run)["type"] == "CANCELLED", seconds=60)
    wait_for("its process's end", lambda: not installation.carriers(run), seconds=seconds)
    assert [case for case in inbox(installation) if case["task"] == task] == []


Cancel = Callable[[Installation, str], None]
ways = pytest.mark.parametrize("cancel", [by_api, by_prefect])


@pytest.fixture
def paused(restless: Installation) -> Generator[None]:
    """Nobody takes new runs."""

    def pause(value: bool) -> None:
        with restless.prefect() as prefect:
            prefect.patch("/work_pools/dryad", json={"is_paused": value}).raise_for_status()

    pause(True)
    yield
    pause(False)


@ways
def test_a_task_nobody_began_is_never_begun(
    restless: Installation, receiver: Receiver, paused: None, cancel: Cancel
):
    task = submit(restless, LETTER)
    run = run_of(restless, task)
    assert run_state(restless, run)["type"] == "SCHEDULED"
    cancel(restless, task)
    ends_cancelled(restless, task)
    assert restless.task(task)["cases"] == []
    assert receiver.messages(task) == []


@ways
def test_a_task_whose_process_starts_is_stopped(
    restless: Installation, receiver: Receiver, cancel: Cancel
):
    task = submit(restless, LETTER)
    run = run_of(restless, task)
    wait_for("pending", lambda: run_state(restless, run)["type"] == "PENDING", seconds=30)
    cancel(restless, task)
    ends_cancelled(restless, task, seconds=BEGINS_SECONDS)
    assert restless.task(task)["decision"] is None
    assert receiver.messages(task) == []


@ways
def test_a_question_of_a_cancelled_task_is_closed(
    restless: Installation, receiver: Receiver, cancel: Cancel
):
    task = submit(restless, LETTER)
    case = question(restless, task)
    cancel(restless, task)
    ends_cancelled(restless, task)
    assert restless.task(task)["cases"][0]["status"] == "cancelled"
    assert reply(restless, case["id"], "approve").status_code == 409
    assert receiver.messages(task) == []


@ways
def test_a_working_task_is_stopped_with_its_sandbox(
    restless: Installation, sleeper: str, cancel: Cancel
):
    task = submit(restless, SLEEP, agent=SLEEPER)
    wait_for("the program", lambda: len(asleep(sleeper)) == 1)
    cancel(restless, task)
    wait_for("the program's end", lambda: not asleep(sleeper), seconds=GONE_SECONDS)
    ends_cancelled(restless, task)
    assert restless.task(task)["result"] is None


@pytest.fixture(scope="module")
def ui(restless: Installation, browser: Any) -> Generator[Ui]:
    with signed_in(browser, restless) as ui:
        yield ui


def test_a_working_task_is_stopped_with_its_sandbox_from_the_ui(
    restless: Installation, sleeper: str, ui: Ui
):
    task = submit(restless, SLEEP, agent=SLEEPER)
    wait_for("the program", lambda: len(asleep(sleeper)) == 1)
    ui.cancel(run_of(restless, task), "Running")
    wait_for("the program's end", lambda: not asleep(sleeper), seconds=GONE_SECONDS)
    ui.see_state("Cancelled")
    ends_cancelled(restless, task)


def test_a_question_is_closed_from_the_ui(restless: Installation, receiver: Receiver, ui: Ui):
    task = submit(restless, LETTER)
    case = question(restless, task)
    ui.cancel(run_of(restless, task), "Suspended")
    ui.see_state("Cancelled")
    ends_cancelled(restless, task)
    assert reply(restless, case["id"], "approve").status_code == 409
    assert receiver.messages(task) == []


def test_an_answer_given_while_the_worker_is_dead_is_carried_out_once(
    restless: Installation, receiver: Receiver
):
    task = submit(restless, LETTER)
    case = question(restless, task)
    wait_for("suspension", lambda: not restless.carriers(restless.task(task)["run"]), seconds=30)
    dead = restless.pid("worker")
    os.kill(dead, signal.SIGKILL)
    reply(restless, case["id"], "approve").raise_for_status()
    restless.until(task, "done")
    assert restless.pid("worker") != dead
    assert len(receiver.messages(task)) == 1
