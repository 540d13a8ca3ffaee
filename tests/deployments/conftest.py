"""A worker of the type `dryad`, and flows for it."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from dryad.bootstrap import Services
from dryad.foundation.database import migrate
from dryad.foundation.environment import load
from dryad.foundation.provision import provision
from dryad.foundation.settings import Settings
from dryad.foundation.tenants import DEFAULT
from dryad.runs import Runs
from tests.servers import PrefectServer, stop, wait_for

FILES = [Path(__file__).with_name(name) for name in ("prefect.yaml", "warm.yaml")]
MEMORY_BYTES = 1_000_000_000


def register(server: PrefectServer, *more: Path) -> None:
    """Deploy the example flows, and those of more files."""
    for file in (*FILES, *more):
        subprocess.run(
            [sys.executable, "-P", "-m", "deployments.apply", str(file)],
            env=server.environment,
            check=True,
        )


@pytest.fixture(scope="module")
def registered(prefect_server: PrefectServer) -> Generator[None]:
    """The example flows are deployed while this module runs."""
    register(prefect_server)
    yield
    with prefect_server.client() as client:
        for row in client.post("/deployments/filter", json={}).json():
            client.delete(f"/deployments/{row['id']}").raise_for_status()
        client.delete("/work_pools/dryad").raise_for_status()


@pytest.fixture
def runs(prefect_server: PrefectServer) -> Generator[Runs]:
    client = Runs(prefect_server.url, prefect_server.auth, patience=timedelta(seconds=30))
    yield client
    client.close()


@pytest.fixture
def api(prefect_server: PrefectServer) -> Generator[httpx.Client]:
    """The server's own API."""
    with prefect_server.client() as client:
        yield client


@contextmanager
def installed(settings: Settings) -> Generator[Services]:
    """An installation whose flows can work, made where the settings say, from within."""
    with (
        closing(Runs(settings.prefect_url)) as runs,
        closing(Services(settings, answers=runs, component="test")) as services,
    ):
        migrate.upgrade(services.database)
        provision(services.database, services.secrets)
        services.provide_tenant(DEFAULT)
        yield services


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an installation whose flows can work."""
    home = tmp_path_factory.mktemp("home")
    settings, _ = load({"DRYAD_HOME": str(home)})
    with installed(settings):
        return home


def start_worker(
    server: PrefectServer, directory: Path, **environment: str
) -> "subprocess.Popen[bytes]":
    """Start a worker named like `directory`, where it also writes its log."""
    with (directory / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", "dryad",
             "--type", "dryad", "--name", directory.name, "--limit", "4",
             "--install-policy", "never"],
            env={**server.environment, "PREFECT_WORKER_QUERY_SECONDS": "5", **environment},
            cwd=directory,
            stdout=log,
            stderr=log,
        )  # fmt: skip


@contextmanager
def working(
    server: PrefectServer, directory: Path, home: Path, **environment: str
) -> Generator[psutil.Process]:
    """A worker with its pool ready."""
    environment |= {"DRYAD_HOME": str(home), "DRYAD_RUN_MEMORY_BYTES": str(MEMORY_BYTES)}
    process = start_worker(server, directory, **environment)
    try:
        worker = psutil.Process(process.pid)
        count = int(environment.get("DRYAD_WORKER_SPARES", "2"))
        wait_for("the pool", lambda: len(spares(worker)) == count, seconds=120)
        yield worker
    finally:
        stop(process)


@pytest.fixture(scope="module")
def standing(
    prefect_server: PrefectServer,
    registered: None,
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[psutil.Process]:
    """A worker that outlives the test."""
    with working(prefect_server, tmp_path_factory.mktemp("standing"), home) as worker:
        yield worker


def children(worker: psutil.Process, argument: str) -> list[psutil.Process]:
    """Return the live children of a worker that were started with an argument."""

    def was_started(child: psutil.Process) -> bool:
        try:
            return argument in child.cmdline()
        except psutil.Error:  # it has just ended
            return False

    return [child for child in worker.children() if was_started(child)]


def pool(worker: psutil.Process) -> psutil.Process | None:
    """Return the worker's pool, if there is one."""
    found = children(worker, "deployments.pool")
    return found[0] if found else None


def spares(worker: psutil.Process) -> set[int]:
    """Return the processes the pool has made: idle ones, and those that carry a run."""
    parent = pool(worker)
    return set() if parent is None else {child.pid for child in parent.children()}


def alive(pid: int) -> bool:
    """Whether a process has not ended."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def start(runs: Runs, flow: str, **parameters: Any) -> str:
    """Start a run of an example flow."""
    return runs.start(f"{flow}/on-demand", parameters, name=flow, key=uuid4().hex)


def pid_in(path: Path) -> int:
    """Return the process that a run wrote to a file, once it has."""
    wait_for("the run's process", lambda: path.exists() and path.read_text() != "")
    return int(path.read_text())


def start_holding(runs: Runs, tmp_path: Path, seconds: float) -> tuple[str, int]:
    """Start a busy run; return its id and the id of the process that carries it."""
    path = tmp_path / "holder"
    run = start(runs, "hold-on", path=str(path), seconds=seconds)
    return run, pid_in(path)
