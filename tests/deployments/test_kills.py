"""Fifty runs while something is killed again and again: each ends truthfully, none lives on."""

import contextlib
import itertools
import random
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

import psutil
import pytest

from deployments import handoff
from dryad.runs import Runs
from tests.deployments.conftest import alive, children, pool, spares, start_worker
from tests.servers import PrefectServer, stop, wait_for

Victim = Literal["run", "handoff", "pool", "worker"]
RUNS, AT_ONCE = 50, 4

pytestmark = pytest.mark.soak


@dataclass
class Workplace:
    """A worker that is started again, under its name, when it was killed."""

    server: PrefectServer
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
def workplace(
    prefect_server: PrefectServer, registered: None, home: Path, tmp_path: Path
) -> Generator[Workplace]:
    place = Workplace(prefect_server, tmp_path, home)
    yield place
    stop(place.process)


@pytest.mark.parametrize("victim", ["run", "handoff", "pool", "worker"])
def test_runs_end_truthfully_and_leave_no_process_whatever_is_killed(
    workplace: Workplace, runs: Runs, tmp_path: Path, victim: Victim
) -> None:
    paths: dict[str, Path] = {}
    for number in range(RUNS):
        path = tmp_path / f"{number}"
        parameters = {"path": str(path), "seconds": 1.0}
        run = runs.start("hold-on/on-demand", parameters, name=f"{number}", key=uuid4().hex)
        paths[run] = path
    pause = itertools.cycle([1.0, 2.5, 0.4] if victim != "worker" else [12.0])
    deadline = time.monotonic() + 600
    while not all(state.ended for state in runs.states(list(paths)).values()):
        assert time.monotonic() < deadline, "some runs never end"
        time.sleep(next(pause))
        workplace.kill(victim)
    states = runs.states(list(paths))
    assert len(states) == RUNS
    assert {state.type for state in states.values()} <= {"COMPLETED", "CRASHED"}
    for run, path in paths.items():
        if states[run].type == "COMPLETED":
            assert path.read_text()
        else:
            assert any(told in states[run].message for told in ("SIGKILL", "was killed"))
    pids = [int(path.read_text()) for path in paths.values() if path.exists() and path.read_text()]
    wait_for("the end of every process", lambda: not any(map(alive, pids)), seconds=10)
    assert any(state.type == "COMPLETED" for state in states.values())
