"""What becomes of a run on a worker of the type `dryad`, of its process, and of what it said."""

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from dryad.runs import Runs
from tests.deployments.conftest import alive, start_holding
from tests.servers import PrefectServer, wait_for

LINES = 300
STEPS = LINES // 10
ENDS = {"return": "COMPLETED", "raise": "FAILED", "exit": "CRASHED"}

BURST = 10
WORKER_LIMIT = 4
LIMITS = {"the worker": WORKER_LIMIT, "the pool": 2, "the queue": 1}


def test_a_run_works_in_a_directory_of_its_own_and_completes(
    runs: Runs, standing: psutil.Process, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    run = runs.start("write-note/on-demand", {"path": str(note)}, name="n", key=uuid4().hex)
    wait_for("the run", lambda: runs.state(run).ended)
    assert runs.state(run).type == "COMPLETED", runs.state(run)
    text, pid, directory = note.read_text().split()
    assert text == "done"
    assert int(pid) != standing.pid
    assert Path(directory) != tmp_path
    wait_for("the removal of the run's directory", lambda: not Path(directory).exists(), seconds=5)


def test_a_killed_run_is_reported_crashed(
    runs: Runs, standing: psutil.Process, tmp_path: Path
) -> None:
    run, pid = start_holding(runs, tmp_path, seconds=60)
    os.kill(pid, signal.SIGKILL)
    wait_for("the report", lambda: runs.state(run).ended, seconds=20)
    assert runs.state(run).type == "CRASHED"
    assert "SIGKILL" in runs.state(run).message
    hook = tmp_path / "holder.hook"
    wait_for("its hook", lambda: hook.exists() and hook.read_text() == "Crashed", seconds=20)
    assert standing.is_running()


def test_a_cancelled_run_ends_and_its_process_is_gone(
    runs: Runs, standing: psutil.Process, tmp_path: Path
) -> None:
    run, pid = start_holding(runs, tmp_path, seconds=60)
    assert runs.cancel(run)
    wait_for("the cancellation", lambda: runs.state(run).type == "CANCELLED", seconds=60)
    assert not alive(pid)
    hook = tmp_path / "holder.hook"
    wait_for("its hook", lambda: hook.exists() and hook.read_text() != "", seconds=20)
    assert hook.read_text() in {"Cancelling", "Cancelled"}
    assert standing.is_running()


def test_a_run_that_is_due_again_waits_until_its_process_has_ended(
    runs: Runs,
    prefect_server: PrefectServer,
    standing: psutil.Process,
    tmp_path: Path,
) -> None:
    run, pid = start_holding(runs, tmp_path, seconds=60)
    with prefect_server.client() as client:
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        again = {"state": state, "force": True}
        client.post(f"/flow_runs/{run}/set_state", json=again).raise_for_status()
    time.sleep(3)
    assert standing.is_running()
    assert alive(pid)
    assert runs.state(run).type == "SCHEDULED"
    os.kill(pid, signal.SIGKILL)
    wait_for("the end of the first process", lambda: not alive(pid), seconds=5)
    wait_for("the report", lambda: runs.state(run).type != "SCHEDULED", seconds=20)
    assert standing.is_running()
    runs.cancel(run)


def pages(api: httpx.Client, kind: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = {**wanted, "limit": 200, "offset": len(found)}
        page = api.post(f"/{kind}/filter", json=body).raise_for_status().json()
        found += page
        if len(page) < 200:
            return found


def events(api: httpx.Client, run: str) -> list[tuple[str, str]]:
    """Return the names of all events in which a run had a part, with whom they are about."""
    wanted = {"any_resource": {"id": [f"prefect.flow-run.{run}"]}}
    body = {"filter": wanted, "limit": 50}
    answer = api.post("/events/filter", json=body).raise_for_status().json()
    found = list(answer["events"])
    while answer["next_page"]:
        following = answer["next_page"].partition("/api/")[2]
        answer = api.get(f"/{following}").raise_for_status().json()
        found += answer["events"]
    return [(one["event"], one["resource"]["prefect.resource.id"]) for one in found]


@pytest.mark.parametrize("end", ENDS)
def test_logs_and_events_of_a_run_are_complete(
    standing: psutil.Process, runs: Runs, api: httpx.Client, end: str
) -> None:
    parameters = {"lines": LINES, "end": end}
    run = runs.start("chatter/on-demand", parameters, name="chatter", key=uuid4().hex)
    wait_for("its end", lambda: runs.state(run).ended)
    assert runs.state(run).type == ENDS[end], runs.state(run)

    def lines() -> list[str]:
        rows = pages(api, "logs", {"logs": {"flow_run_id": {"any_": [run]}}})
        return [row["message"] for row in rows if row["message"].startswith("line ")]

    wanted = {f"line {number}" for number in range(LINES)}
    wait_for("every line", lambda: set(lines()) == wanted, seconds=20)
    assert len(lines()) == LINES, "each line once"

    def steps() -> list[str]:
        rows = pages(api, "task_runs", {"flow_runs": {"id": {"any_": [run]}}})
        return [row["state_type"] for row in rows]

    wait_for("every step", lambda: steps() == STEPS * ["COMPLETED"], seconds=20)

    def steps_told() -> set[str]:
        return {whom for event, whom in events(api, run) if event == "prefect.task-run.Completed"}

    wait_for("an event of every step's end", lambda: len(steps_told()) == STEPS, seconds=20)
    rows = api.get(f"/flow_run_states/?flow_run_id={run}").json()
    states = {f"prefect.flow-run.{row['name']}" for row in rows}

    def states_told() -> set[str]:
        return {event for event, whom in events(api, run) if whom == f"prefect.flow-run.{run}"}

    wait_for("an event of every state", lambda: states <= states_told(), seconds=20)


@contextmanager
def limited(api: httpx.Client, who: str) -> Generator[None]:
    path = {"the pool": "/work_pools/dryad", "the queue": "/work_pools/dryad/queues/default"}
    if who not in path:
        yield
        return

    def limit(value: int | None) -> None:
        api.patch(path[who], json={"concurrency_limit": value}).raise_for_status()

    limit(LIMITS[who])
    try:
        yield
    finally:
        limit(None)


def most_at_once(api: httpx.Client, runs: list[str]) -> int:
    """Return how many were Running at once at most, by the times the server stored."""
    changes: list[tuple[datetime, int]] = []
    for run in runs:
        rows = api.get("/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
        at = {row["type"]: datetime.fromisoformat(row["timestamp"]) for row in rows}
        changes += [(at["RUNNING"], 1), (at["COMPLETED"], -1)]
    most = now = 0
    for _, change in sorted(changes):
        most = max(most, now := now + change)
    return most


@pytest.mark.parametrize("who", LIMITS)
def test_a_burst_stays_within_the_limit(
    standing: psutil.Process, runs: Runs, api: httpx.Client, tmp_path: Path, who: str
) -> None:
    with limited(api, who):
        burst = [
            runs.start(
                "hold-on/on-demand",
                {"path": str(tmp_path / f"{number}"), "seconds": 0.3},
                name=f"{number}",
                key=uuid4().hex,
            )
            for number in range(BURST)
        ]
        wait_for(
            "the burst",
            lambda: all(state.ended for state in runs.states(burst).values()),
            seconds=240,
        )
    states = runs.states(burst)
    assert {state.type for state in states.values()} == {"COMPLETED"}, states
    assert 1 <= most_at_once(api, burst) <= LIMITS[who]
