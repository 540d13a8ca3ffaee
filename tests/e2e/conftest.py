"""A whole installation, started as a user starts it, and a browser that shows its UI."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from dryad.platform.instance import Instance
from tests import services
from tests.servers import free_port, wait_for

ROOT = Path(__file__).parents[2]


@dataclass
class Installation:
    """A running installation, as its operator sees it from outside."""

    directory: Path
    environ: dict[str, str]
    api_url: str
    prefect_url: str

    @property
    def home(self) -> Path:
        return self.directory / ".dryad"

    def dryad(self, *arguments: str, check: bool = True, seconds: float = 180) -> str:
        """Run one `dryad` command and return what it printed on stdout."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dryad", *arguments],
            cwd=self.directory,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"dryad {' '.join(arguments)} → {done.returncode}\n{done.stderr[-4000:]}")
        return done.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Run one `dryad` command; whether it did what was asked. A refusal is no fault."""
        environ, said = self.environ, subprocess.DEVNULL
        command = [sys.executable, "-P", "-m", "dryad", *arguments]
        done = subprocess.run(
            command, cwd=self.directory, env=environ, stdout=said, stderr=said, check=False
        )
        assert done.returncode in {0, 1, 2}, command
        return done.returncode == 0

    def json(self, *arguments: str) -> Any:
        """Run one `dryad` command with `--json` and return what it said."""
        return json.loads(self.dryad(*arguments, "--json"))

    @property
    def secrets(self) -> dict[str, str]:
        return json.loads((self.home / "secrets" / "secrets.json").read_text())

    def api(self) -> httpx.Client:
        """A client of the API with the operator's key."""
        key = self.secrets["operator_key"]
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.api_url, headers=headers, timeout=30)

    def prefect(self) -> httpx.Client:
        """A client of the Prefect API with the operator's login."""
        user, _, password = self.secrets["prefect_auth"].partition(":")
        return httpx.Client(base_url=self.prefect_url, auth=(user, password), timeout=70)

    def task(self, task: str) -> dict[str, Any]:
        with self.api() as api:
            return api.get(f"/api/v1/tasks/{task}").raise_for_status().json()

    def until(self, task: str, *statuses: str, seconds: float = 90) -> dict[str, Any]:
        """Return the task as soon as it stands as one of `statuses`."""
        seen: list[dict[str, Any]] = []

        def reached() -> bool:
            seen[:] = [self.task(task)]
            return seen[0]["status"] in statuses

        try:
            wait_for(f"{task} {statuses}", reached, seconds=seconds)
        except TimeoutError:
            pytest.fail(f"{task} is {seen} after {seconds} s")
        return seen[0]

    # -- its processes

    def pid(self, name: str) -> int:
        """The process that `dryad status` calls `name`; 0 when there is none."""
        instance = Instance(self.home)
        if name == "dryad up":
            return instance.pid() or 0
        return next((e.pid for e in instance.entries() if e.name == name and e.alive), 0)

    def processes(self) -> list[psutil.Process]:
        """Every process of this installation, however it came to be; sandboxes show nothing."""
        return [
            process
            for process in psutil.process_iter()
            if _environ(process).get("DRYAD_HOME") == str(self.home)
        ]

    def carriers(self, run: str | None = None) -> list[psutil.Process]:
        """The processes that carry flow runs, or the one run."""
        return [
            process
            for process in self.processes()
            if (carried := _environ(process).get("PREFECT__FLOW_RUN_ID"))
            if run in {None, carried}
        ]


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # gone, a zombie, or somebody else's
        return {}


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[..., Installation]]:
    """Start installations with `start(name, **settings)`; all are stopped at the end."""
    started: list[Installation] = []

    def begin(name: str, *options: str, **settings: str) -> Installation:
        directory = tmp_path_factory.mktemp(name)
        api, prefect = free_port(), free_port()
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("DRYAD_", "PREFECT_"))}
        environ |= {
            "PYTHONPATH": str(ROOT),
            "DRYAD_HOME": str(directory / ".dryad"),
            "DRYAD_API_PORT": str(api),
            "DRYAD_PREFECT_PORT": str(prefect),
            **settings,
        }
        installation = Installation(
            directory, environ, f"http://127.0.0.1:{api}", f"http://127.0.0.1:{prefect}/api"
        )
        started.append(installation)
        installation.dryad("up", "--detach", *options, seconds=300)
        return installation

    yield begin
    for installation in started:
        installation.dryad("down", check=False)


@pytest.fixture(scope="session")
def installation(start: Callable[..., Installation]) -> Installation:
    """One installation with the demo, shared by the tests that leave it running."""
    return start("shared", "--demo")


@pytest.fixture(scope="session")
def restless(start: Callable[..., Installation]) -> Installation:
    """One installation that soon gives up on silent processes, for tests that kill them."""
    return start("restless", DRYAD_LEASE="5s", DRYAD_CRASH_QUIET="3s", DRYAD_WORKER_POLL="500ms")


@pytest.fixture(scope="session")
def browser() -> Generator[Any]:
    """A headless Chromium."""
    services.need("browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(services.chromium()),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()
