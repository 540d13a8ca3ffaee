"""Spares that are started rather than forked, and runs that find none: they end as truthfully."""

import json
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from deployments import handoff
from dryad.runs import Runs
from tests.deployments.conftest import alive, children, pid_in, pool, spares, start, working
from tests.servers import PrefectServer, wait_for

WAYS = {
    "started": {"DRYAD_WORKER_FORKS": "false"},
    "cold": {"DRYAD_WORKER_SPARES": "0"},
}


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def worker(
    way: str,
    prefect_server: PrefectServer,
    registered: None,
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[psutil.Process]:
    """A worker that does not fork, or one without spares."""
    with working(prefect_server, tmp_path_factory.mktemp(way), home, **WAYS[way]) as process:
        yield process


def test_a_run_is_carried_by_a_spare_of_the_pool_or_by_one_of_its_own(
    worker: psutil.Process, way: str, runs: Runs, tmp_path: Path
) -> None:
    path = tmp_path / "told"
    run = start(runs, "tell", path=str(path))
    wait_for("the run", lambda: runs.state(run).ended)
    assert runs.state(run).type == "COMPLETED", runs.state(run)
    parent = pool(worker)
    assert (parent is None) == (way == "cold")
    if parent is not None:
        assert json.loads(path.read_text())["parent"] == parent.pid


def test_a_run_that_holds_the_interpreter_dies_with_its_handoff(
    worker: psutil.Process, runs: Runs, tmp_path: Path
) -> None:
    path = tmp_path / "holder"
    run = start(runs, "hold-the-interpreter", path=str(path))
    pid = pid_in(path)
    children(worker, handoff.__file__)[0].kill()
    wait_for("the end of the run's process", lambda: not alive(pid), seconds=5)
    wait_for("the report", lambda: runs.state(run).ended, seconds=20)
    assert runs.state(run).type == "CRASHED"


def test_a_run_is_cancelled(worker: psutil.Process, runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "holder"
    run = start(runs, "hold-on", path=str(path))
    pid = pid_in(path)
    assert runs.cancel(run)
    wait_for("the end of the run's process", lambda: not alive(pid), seconds=10)
    wait_for("the report", lambda: runs.state(run).ended, seconds=10)
    assert runs.state(run).type == "CANCELLED"
    assert (tmp_path / "holder.hook").read_text() == "Cancelling"


def test_a_run_that_uses_too_much_memory_is_ended_and_says_so(
    worker: psutil.Process, runs: Runs
) -> None:
    run = start(runs, "grow", size=1_100_000_000)
    wait_for("its end", lambda: runs.state(run).ended)
    assert runs.state(run).type == "CRASHED"
    assert "memory" in runs.state(run).message


def test_killed_spares_are_replaced_and_a_killed_worker_leaves_no_process(
    worker: psutil.Process, way: str, runs: Runs, tmp_path: Path
) -> None:
    path = tmp_path / "holder"
    start(runs, "hold-on", path=str(path))
    pid = pid_in(path)
    idle = spares(worker) - {pid}
    for one in idle:
        psutil.Process(one).kill()
    wanted = 0 if way == "cold" else 2
    wait_for("other spares", lambda: len(spares(worker) - idle - {pid}) == wanted, seconds=60)
    processes = worker.children(recursive=True)
    worker.kill()
    wait_for("their end", lambda: not any(alive(one.pid) for one in processes), seconds=20)
    assert not alive(pid)


def test_where_the_kernel_has_no_files_for_it_ps_tells_what_memory_a_process_uses() -> None:
    held = b"x" * 50_000_000
    told = handoff.resident_by_ps(psutil.Process().pid)
    assert told == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert told > len(held)
    assert handoff.resident_by_ps(2**22 + 1) == 0
