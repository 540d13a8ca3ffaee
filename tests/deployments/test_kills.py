"""Fifty runs while something is killed again and again: each ends truthfully, none lives on."""

import contextlib
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

import psutil
import pytest

from deployments import handoff
from dryad.runs import Runs
from tests.deployments.conftest import alive, children, pool, register, spares, start_worker
from tests.servers import Killable, PrefectServer, killable_prefect, stop, wait_for

Victim = Literal["run", "handoff", "pool", "worker", "server"]
RUNS = 50
TRUE_CAUSES = ("SIGKILL", "was killed")
UNHEARD = "Process exited with status code: 1"
"""What is said of a run that could not reach the server for too long, and gave up."""

pytestmark = pytest.mark.soak


@dataclass
class Workplace:
    """A server and a worker that are started again, the worker under its name, when killed."""

    server: PrefectServer
    serving: Killable
    directory: Path
    home: Path

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        environment = {"DRYAD_HOME": str(self.home)}
        self.process = start_worker(self.server, self.directory, **environment)
        self.worker = psutil.Process(self.process.pid)
        wait_for("the pool", lambda: len(spares(self.worker)) >= 2, seconds=120)

    def kill(self, victim: Victim) -> None:
        if victim == "worker":
            self.process.kill()
            self.process.wait()
            self.start()
            return
        if victim == "server":
            self.serving.kill()
            self.serving.start()
            return
        parent = pool(self.worker)
        found = {
            "run": parent.children() if parent else [],
            "handoff": children(self.worker, handoff.__file__),
            "pool": [parent] if parent else [],
        }[victim]
        if found:
            with contextlib.suppress(psutil.NoSuchProcess):
                random.choice(found).send_signal(signal.SIGKILL)


@pytest.fixture
def workplace(home: Path, tmp_path: Path) -> Generator[Workplace]:
    (tmp_path / "prefect").mkdir()
    server, serving = killable_prefect(tmp_path / "prefect")
    serving.start()
    register(server)
    place = Workplace(server, serving, tmp_path, home)
    yield place
    stop(place.process)
    serving.stop()


@pytest.fixture
def runs(workplace: Workplace) -> Generator[Runs]:
    server = workplace.server
    client = Runs(server.url, server.auth, patience=timedelta(minutes=2))
    yield client
    client.close()


def logged(server: PrefectServer, run: str) -> str:
    """Return what a run logged, tracebacks included."""
    with server.client() as client:
        wanted = {"logs": {"flow_run_id": {"any_": [run]}}}
        rows = client.post("/logs/filter", json=wanted).raise_for_status().json()
    return "\n".join(row["message"] for row in rows)


@pytest.mark.parametrize("victim", get_args(Victim))
def test_runs_end_truthfully_and_leave_no_process_whatever_is_killed(
    workplace: Workplace,
    runs: Runs,
    tmp_path: Path,
    victim: Victim,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths: dict[str, Path] = {}
    for number in range(RUNS):
        path = tmp_path / f"{number}"
        parameters = {"path": str(path), "seconds": 1.0}
        run = runs.start("hold-on/on-demand", parameters, name=f"{number}", key=uuid4().hex)
        paths[run] = path
    pause = itertools.cycle({"worker": [3.0], "server": [4.0, 9.0]}.get(victim, [1.0, 2.5, 0.4]))
    kills = 0
    deadline = time.monotonic() + 600
    while not all(state.ended for state in runs.states(list(paths)).values()):
        assert time.monotonic() < deadline, "some runs never end"
        time.sleep(next(pause))
        workplace.kill(victim)
        kills += 1
    states = runs.states(list(paths))
    assert len(states) == RUNS
    assert {state.type for state in states.values()} <= {"COMPLETED", "CRASHED"}
    for run, path in paths.items():
        if states[run].type == "COMPLETED":
            assert path.read_text()
        else:
            causes = (*TRUE_CAUSES, UNHEARD) if victim == "server" else TRUE_CAUSES
            true = any(told in states[run].message for told in causes)
            assert true, f"{states[run]}\n{logged(workplace.server, run)}"
    pids = [int(path.read_text()) for path in paths.values() if path.exists() and path.read_text()]
    assert workplace.process.poll() is None, "the worker lives"
    wait_for("the end of every process", lambda: not any(map(alive, pids)), seconds=10)
    tally = Counter(state.type for state in states.values())
    with capsys.disabled():
        print(f"\n{kills} times the {victim}: {dict(tally)}")  # noqa: T201 - the figure is quoted
    assert kills >= 3
    assert tally["COMPLETED"]
