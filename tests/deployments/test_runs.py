"""What becomes of a run on a worker of the type `dryad`, and of its process."""

import os
import signal
import time
from pathlib import Path
from uuid import uuid4

import psutil

from dryad.runs import Runs
from tests.deployments.conftest import alive, start_holding
from tests.servers import PrefectServer, wait_for


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
