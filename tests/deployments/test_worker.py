"""The worker type `dryad`, started as an operator would: its runs die with it and drain with it."""

import os
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from dryad.runs import Runs
from tests.deployments.conftest import alive, start_worker
from tests.servers import PrefectServer, stop, wait_for


@pytest.fixture
def worker(
    prefect_server: PrefectServer, registered: None, tmp_path: Path
) -> Generator["subprocess.Popen[bytes]"]:
    process = start_worker(prefect_server, tmp_path)
    yield process
    stop(process)


def start_holding(runs: Runs, tmp_path: Path, seconds: float) -> tuple[str, int]:
    """Start a busy run; return its id and the id of the process that carries it."""
    path = tmp_path / "holder"
    parameters = {"path": str(path), "seconds": seconds}
    run = runs.start("hold-on/on-demand", parameters, name="hold", key=uuid4().hex)
    wait_for("the run's process", lambda: path.exists() and path.read_text() != "")
    return run, int(path.read_text())


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


def test_a_killed_worker_takes_its_runs_along(
    runs: Runs, worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    _, pid = start_holding(runs, tmp_path, seconds=60)
    assert alive(pid)
    worker.kill()
    wait_for("the end of the run's process", lambda: not alive(pid), seconds=5)


def test_the_next_worker_reports_what_died_with_a_killed_one(
    runs: Runs,
    prefect_server: PrefectServer,
    worker: "subprocess.Popen[bytes]",
    tmp_path: Path,
) -> None:
    run, _ = start_holding(runs, tmp_path, seconds=60)
    worker.kill()
    worker.wait()
    assert runs.state(run).type == "RUNNING"
    following = start_worker(prefect_server, tmp_path)
    try:
        wait_for("the report", lambda: runs.state(run).type == "CRASHED", seconds=60)
    finally:
        stop(following)


def test_a_killed_run_is_reported_crashed(
    runs: Runs, standing: psutil.Process, tmp_path: Path
) -> None:
    run, pid = start_holding(runs, tmp_path, seconds=60)
    os.kill(pid, signal.SIGKILL)
    wait_for("the report", lambda: runs.state(run).ended, seconds=20)
    assert runs.state(run).type == "CRASHED"
    assert "SIGKILL" in runs.state(run).message
    assert standing.is_running()


def test_a_worker_asked_to_stop_lets_its_runs_finish(
    runs: Runs, worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    run, _ = start_holding(runs, tmp_path, seconds=3)
    worker.send_signal(signal.SIGTERM)
    other = runs.start("hold-on/on-demand", {"path": "/dev/null"}, name="h", key=uuid4().hex)
    assert worker.wait(timeout=30) == 0
    assert runs.state(run).type == "COMPLETED"
    assert runs.state(other).type == "SCHEDULED", "a draining worker takes nothing new"
    runs.cancel(other)


def test_a_worker_asked_twice_leaves_at_once_with_its_runs(
    runs: Runs, worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    _, pid = start_holding(runs, tmp_path, seconds=60)
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(timeout=2)
    assert alive(pid)
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=15)
    wait_for("the end of the run's process", lambda: not alive(pid), seconds=5)


def test_a_cancelled_run_ends_and_its_process_is_gone(
    runs: Runs, standing: psutil.Process, tmp_path: Path
) -> None:
    run, pid = start_holding(runs, tmp_path, seconds=60)
    assert runs.cancel(run)
    wait_for("the cancellation", lambda: runs.state(run).type == "CANCELLED", seconds=60)
    assert not alive(pid)
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
