"""The worker type `dryad`, started as an operator would: its runs die with it and drain with it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from dryad.runs import Runs
from tests.deployments.conftest import alive, pool, start, start_holding, start_worker
from tests.servers import PrefectServer, stop, wait_for


@pytest.fixture
def worker(
    prefect_server: PrefectServer, registered: None, tmp_path: Path
) -> Generator["subprocess.Popen[bytes]"]:
    process = start_worker(prefect_server, tmp_path)
    yield process
    stop(process)


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
    run = start(runs, "chatter", lines=1_000_000)  # it notices when nobody reads its output
    wait_for("the run", lambda: runs.state(run).type == "RUNNING")
    time.sleep(1)
    worker.kill()
    worker.wait()
    following = start_worker(prefect_server, tmp_path)
    try:
        wait_for("the report", lambda: runs.state(run).ended)
    finally:
        stop(following)
    assert runs.state(run).type == "CRASHED"
    assert runs.state(run).message == "its worker was killed"


def test_the_next_worker_reports_what_a_killed_one_had_only_just_taken(
    runs: Runs, api: httpx.Client, prefect_server: PrefectServer, registered: None, tmp_path: Path
) -> None:
    run = runs.start("hold-on/on-demand", {"path": "/dev/null"}, name="h", key=uuid4().hex)
    taken = {"state": {"type": "PENDING"}, "force": True}
    api.post(f"/flow_runs/{run}/set_state", json=taken).raise_for_status()
    following = start_worker(prefect_server, tmp_path)
    try:
        wait_for("the report", lambda: runs.state(run).type == "CRASHED", seconds=60)
    finally:
        stop(following)


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


THREAD_IN_THE_POOL = """
import sys, threading, time
if "deployments.pool" in sys.orig_argv:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pool never forks")
def test_a_pool_that_may_not_fork_says_so_and_starts_its_spares(
    runs: Runs, prefect_server: PrefectServer, registered: None, tmp_path: Path
) -> None:
    (early := tmp_path / "early").mkdir()
    (early / "sitecustomize.py").write_text(THREAD_IN_THE_POOL)
    process = start_worker(prefect_server, tmp_path, PYTHONPATH=str(early))
    log = tmp_path / "worker.log"
    try:
        refused = "An import started a thread"
        wait_for("the refusal", lambda: refused in log.read_text(), seconds=120)
        path = tmp_path / "told"
        run = start(runs, "tell", path=str(path))
        wait_for("the run", lambda: runs.state(run).ended, seconds=120)
        assert runs.state(run).type == "COMPLETED", runs.state(run)
        parent = pool(psutil.Process(process.pid))
        assert parent is not None
        assert json.loads(path.read_text())["parent"] == parent.pid
    finally:
        stop(process)
