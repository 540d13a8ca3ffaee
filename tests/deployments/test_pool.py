"""Runs start warm, share nothing, and end truthfully whatever is killed."""

import ast
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from deployments import handoff, spare
from deployments import pool as pool_module
from deployments import worker as worker_module
from dryad.runs import Runs
from tests.deployments.conftest import FILES, alive, children, pid_in, pool, spares, start
from tests.servers import PrefectServer, wait_for


def told(runs: Runs, path: Path, run: str) -> dict[str, Any]:
    """Return what `tell` wrote."""
    wait_for("the run", lambda: runs.state(run).ended)
    assert runs.state(run).type == "COMPLETED", runs.state(run)
    return json.loads(path.read_text())


def hold(runs: Runs, path: Path, seconds: float = 60) -> tuple[str, int]:
    """Start a busy run; return its id and its process."""
    run = start(runs, "hold-on", path=str(path), seconds=seconds)
    return run, pid_in(path)


def start_with(api: httpx.Client, environment: dict[str, str], path: Path) -> str:
    """Start `tell` with variables of its own."""
    found = api.get("/deployments/name/tell/on-demand").raise_for_status().json()
    body = {"parameters": {"path": str(path)}, "job_variables": {"env": environment}}
    made = api.post(f"/deployments/{found['id']}/create_flow_run", json=body)
    return str(made.raise_for_status().json()["id"])


def test_a_run_is_carried_by_a_child_of_the_pool_that_imports_nothing_heavy(
    standing: psutil.Process, runs: Runs, tmp_path: Path
) -> None:
    path = tmp_path / "late"
    run = start(runs, "do-a-task", path=str(path))
    late = told(runs, path, run)
    others = [name for name in late if not name.startswith("tests.")]
    assert len(others) <= 5, f"import these before the fork: {others}"


def test_nothing_of_a_run_is_left_for_the_next(
    standing: psutil.Process, runs: Runs, api: httpx.Client, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    one = told(runs, first, start_with(api, {"OWN_SECRET": "s3cret"}, first))
    two = told(runs, second, start(runs, "tell", path=str(second)))
    parent = pool(standing)
    assert parent is not None
    assert one["parent"] == two["parent"] == parent.pid
    assert one["environment"]["OWN_SECRET"] == "s3cret"
    assert "OWN_SECRET" not in two["environment"]
    assert "MARK" not in two["environment"]
    assert two["mark"] == ""
    assert one["random"] != two["random"]
    assert not two["numpy_random"]


def test_a_run_has_the_prefect_settings_it_was_given(
    standing: psutil.Process, runs: Runs, api: httpx.Client, tmp_path: Path
) -> None:
    path = tmp_path / "told"
    run = start_with(api, {"PREFECT_LOGGING_LOG_PRINTS": "true"}, path)
    told(runs, path, run)
    wanted = {"logs": {"flow_run_id": {"any_": [run]}}}

    def lines() -> list[str]:
        rows = api.post("/logs/filter", json=wanted).raise_for_status().json()
        return [row["message"] for row in rows]

    wait_for("the printed line among the run's logs", lambda: "told" in lines(), seconds=10)
    assert lines().count("told") == 1


def test_a_run_that_wants_another_interpreter_starts_cold(
    standing: psutil.Process, runs: Runs, api: httpx.Client, tmp_path: Path
) -> None:
    path = tmp_path / "told"
    run = start_with(api, {"PYTHONHASHSEED": "7"}, path)
    found = told(runs, path, run)
    assert found["environment"]["PYTHONHASHSEED"] == "7"
    parent = pool(standing)
    assert parent is not None
    assert found["parent"] != parent.pid


def test_a_run_that_uses_too_much_memory_is_ended_and_says_so(
    standing: psutil.Process, runs: Runs
) -> None:
    run = start(runs, "grow", size=1_100_000_000)
    wait_for("its end", lambda: runs.state(run).ended, seconds=20)
    state = runs.state(run)
    assert state.type == "CRASHED"
    assert "memory" in state.message


def test_a_flow_is_retried(standing: psutil.Process, runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    run = start(runs, "fail-once", path=str(path))
    wait_for("its end", lambda: runs.state(run).ended, seconds=30)
    assert runs.state(run).type == "COMPLETED"
    assert path.read_text().split() == ["1", "2"]


@pytest.fixture
def stopped(standing: psutil.Process) -> Generator[None]:
    """The pool takes nobody."""
    wait_for("the end of earlier runs", lambda: handoffs(standing) == [])
    parent = pool(standing)
    assert parent is not None
    processes = [parent, *parent.children()]
    for process in processes:
        process.suspend()
    yield
    for process in processes:
        process.resume()


def test_a_run_is_cancelled_while_nobody_has_taken_it_yet(
    standing: psutil.Process, stopped: None, runs: Runs, tmp_path: Path
) -> None:
    run = start(runs, "tell", path=str(tmp_path / "told"))
    wait_for("its process", lambda: handoffs(standing) != [], seconds=20)
    assert runs.state(run).type == "PENDING"
    runs.cancel(run)
    wait_for("the end of its process", lambda: handoffs(standing) == [], seconds=5)
    wait_for("its end", lambda: runs.state(run).ended, seconds=5)
    time.sleep(1)  # nothing is reported afterwards
    assert runs.state(run).type == "CANCELLED"


def test_a_run_is_cancelled_in_the_moment_it_starts(
    standing: psutil.Process, runs: Runs, tmp_path: Path
) -> None:
    run = start(runs, "hold-on", path=str(tmp_path / "holder"), seconds=60)
    wait_for("its start", lambda: runs.state(run).type == "PENDING", seconds=20)
    assert runs.cancel(run)
    wait_for("its end", lambda: runs.state(run).ended, seconds=10)
    time.sleep(1)  # whatever still starts
    wait_for("the end of its process", lambda: handoffs(standing) == [], seconds=5)
    assert runs.state(run).type == "CANCELLED"


def handoffs(worker: psutil.Process) -> list[psutil.Process]:
    return children(worker, handoff.__file__)


def test_a_reloaded_pool_forks_anew_and_its_runs_finish(
    standing: psutil.Process, runs: Runs, tmp_path: Path
) -> None:
    parent, before = pool(standing), spares(standing)
    assert parent is not None
    run, pid = hold(runs, tmp_path / "holder", seconds=3)
    standing.send_signal(signal.SIGHUP)
    idle = before - {pid}
    wait_for("new spares", lambda: len(spares(standing) - before - {pid}) == 2, seconds=60)
    assert not spares(standing) & idle
    assert pool(standing) == parent
    wait_for("the run", lambda: runs.state(run).ended, seconds=20)
    assert runs.state(run).type == "COMPLETED"


def test_after_a_deployment_the_pool_forks_anew(
    standing: psutil.Process, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    before = spares(standing)
    file = tmp_path / "changed.yaml"
    text = FILES[1].read_text()
    file.write_text(text.replace("work_pool:", "tags: [changed]\n    work_pool:"))
    subprocess.run(
        [sys.executable, "-P", "-m", "deployments.apply", str(file)],
        env=prefect_server.environment,
        check=True,
    )
    wait_for("new spares", lambda: len(spares(standing) - before) == 2, seconds=60)
    wait_for("the end of the old ones", lambda: not spares(standing) & before, seconds=10)


def test_a_killed_handoff_takes_its_run_along(
    standing: psutil.Process, runs: Runs, tmp_path: Path
) -> None:
    path = tmp_path / "holder"
    run = start(runs, "hold-the-interpreter", path=str(path))
    pid = pid_in(path)
    handoffs(standing)[0].kill()
    wait_for("the end of the run's process", lambda: not alive(pid), seconds=5)
    wait_for("the report", lambda: runs.state(run).ended, seconds=20)
    assert runs.state(run).type == "CRASHED"


def test_a_killed_pool_leaves_its_runs_at_work_and_the_next_run_is_carried(
    standing: psutil.Process, runs: Runs, tmp_path: Path
) -> None:
    run, pid = hold(runs, tmp_path / "holder", seconds=6)
    parent, idle = pool(standing), spares(standing) - {pid}
    assert parent is not None
    parent.kill()
    told_path = tmp_path / "told"
    following = start(runs, "tell", path=str(told_path))
    wait_for("the end of idle spares", lambda: not any(map(alive, idle)), seconds=5)
    assert alive(pid)
    found = told(runs, told_path, following)
    wait_for("another pool", lambda: len(spares(standing)) == 2, seconds=60)
    assert found["parent"] != parent.pid  # cold, or by the next pool
    wait_for("the run", lambda: runs.state(run).ended, seconds=20)
    assert runs.state(run).type == "COMPLETED"


def test_the_worker_uses_no_private_name_of_prefect() -> None:
    theirs = set(dir(ProcessWorker("any"))) | set(dir(ProcessJobConfiguration))
    for module in (handoff, pool_module, spare, worker_module):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                assert "prefect._" not in ast.unparse(node).replace("import _", "._")
            name = getattr(node, "attr", getattr(node, "name", None)) or ""
            if re.match(r"_[^_]", name):
                assert name not in theirs, f"{module.__name__} touches {name}"


def test_a_pool_finishes_what_prefect_puts_off_until_a_run() -> None:
    script = (
        "from pydantic import BaseModel; from prefect.client.schemas.objects import FlowRun;"
        "from deployments import spare;"
        "before = FlowRun.__pydantic_complete__; spare.preload();"
        "print(before, {one.__pydantic_complete__ for one in spare._subclasses(BaseModel)})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "False {True}\n", done.stderr
