"""Keeps processes ready that have imported everything a flow run needs.

`python -P -m deployments.pool ADDRESS SPARES`: the worker starts it, and again when it dies. It
imports once and forks. Each forked process, a spare, waits at the socket ADDRESS for one run,
carries it and ends: nothing of a run is left for the next. SIGHUP makes the pool begin anew with
the code as it is then: runs at work don't notice, idle spares leave. Linux only: elsewhere the ties
between these processes would be missing.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import os
import pkgutil
import runpy
import select
import signal
import socket
import string
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

import anyio
from pydantic import BaseModel

from dryad.platform import tether

PACKAGES = ("flows", "tasks")
LATE = (
    "dryad.execution.models.offline",
    "encodings.idna",
    "genai_prices.data",
    "prefect.concurrency.services",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.utilities.visualization",
    "psycopg",
    "sqlite3",
)
"""What a run imports only while it runs; found by tracing runs."""


_STARTUP = (b"PYTHON", b"LD_")
"""What an interpreter reads when it starts; a run that wants it otherwise is carried cold."""
_SETTINGS = tuple(b"PREFECT_" + letter.encode() for letter in string.ascii_uppercase)
"""Prefect's settings; what it tells a run begins with two underscores."""


class Run(NamedTuple):
    """A flow run, as `handoff.py` sends it."""

    connection: socket.socket
    directory: bytes
    environment: dict[bytes, bytes]
    streams: list[int]


def preload() -> None:
    """Import what runs need.

    Raises:
        RuntimeError: an import started a thread, which a fork would leave behind, locks and all.
    """
    # A library that computes with threads would start them when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    for model in _subclasses(BaseModel):
        if not model.__pydantic_complete__:  # Prefect puts that off until a model is first used
            model.model_rebuild(raise_errors=False)
    anyio.run(anyio.sleep, 0)  # loads what runs its event loops
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - `threading` misses native ones
        raise RuntimeError("an import started a thread: import that module inside a function")
    gc.collect()
    gc.freeze()  # or every collection in a child would copy what it shares with the others


def _subclasses(of: type[BaseModel]) -> set[type[BaseModel]]:
    direct = set(of.__subclasses__())
    return direct.union(*map(_subclasses, direct))


def next_run(listener: socket.socket, spares: int) -> Run:
    """Keep so many spares waiting; returns only in one of them, with the run it was given."""
    idle: set[socket.socket] = set()
    while True:
        while len(idle) < spares:
            ours, theirs = socket.socketpair()
            pool = os.getpid()
            if os.fork() == 0:
                for other in (*idle, ours):
                    other.close()
                _settle(pool)
                return _wait(listener, theirs)
            theirs.close()
            idle.add(ours)
        for spare in select.select(idle, [], [])[0]:
            if not spare.recv(1):  # died idle: whatever killed it may kill the next one too
                time.sleep(1)
            idle.discard(spare)
            spare.close()


def _reap(_number: int, _frame: FrameType | None) -> None:
    """Let children that ended go; their handoffs know how they ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _settle(pool: int) -> None:
    """Be a process of its own, but for its end."""
    tether.tie(pool)
    for number in (signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def _wait(listener: socket.socket, pool: socket.socket) -> Run:
    """Return the run this spare is given; without one, end when the pool has left."""
    while True:
        if pool in select.select([listener, pool], [], [])[0]:
            os._exit(0)
        try:
            run = _take(listener.accept()[0])
        except (OSError, EOFError):  # another spare was faster, or the caller has left
            continue
        if run is not None:
            pool.send(b"1")
            pool.close()
            listener.close()
            return run


def _take(connection: socket.socket) -> Run | None:
    """Read a run; None when it wants an interpreter that started otherwise than this one."""
    connection.setblocking(True)
    connection.send(b"?")
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as stream:
        message = stream.read(int.from_bytes(size, "big"))
    if not message or len(message) != int.from_bytes(size, "big"):
        raise EOFError
    directory, *pairs = message.split(b"\0")
    environment = dict(pair.split(b"=", 1) for pair in pairs)
    if _of(environment, *_STARTUP) != _of(os.environb, *_STARTUP):
        connection.close()
        return None
    connection.send(os.getpid().to_bytes(4, "big"))
    return Run(connection, directory, environment, streams)


def carry(run: Run) -> NoReturn:
    """Be `python -m prefect.engine` in the run's own circumstances, and end this process."""
    for target, stream in enumerate(run.streams):
        os.dup2(stream, target)
        os.close(stream)
    _die_with(run.connection)
    status = 1
    try:
        os.chdir(run.directory)
        renewed = _of(run.environment, *_SETTINGS) != _of(os.environb, *_SETTINGS)
        os.environb.clear()
        os.environb.update(run.environment)
        if renewed:  # 60 ms, so only when they differ
            importlib.import_module("prefect.context").refresh_global_settings_context()
            importlib.import_module("prefect.logging.configuration").setup_logging()
        sys.argv = sys.argv[:1]
        sys.modules.pop("prefect.engine", None)  # it is to be `__main__`
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
    finally:
        # As an interpreter ends, so that logs and events reach the server; but without taking
        # itself apart, which would cost 0.1 s.
        threading._shutdown()  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
        run.connection.send(bytes([status & 0xFF]))
        os._exit(status)


def _die_with(connection: socket.socket) -> None:
    """Let the kernel kill this process when the other side of `connection` ends.

    A thread that waits for that end would not do: while an extension or a regular expression holds
    the interpreter, none runs.
    """
    os.register_at_fork(after_in_child=connection.close)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(connection, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([connection], [], [], 0)[0]:  # it ended before the kernel was asked
        os._exit(1)


def _of(environment: Mapping[bytes, bytes], *prefixes: bytes) -> dict[bytes, bytes]:
    return {name: environment[name] for name in environment if name.startswith(prefixes)}


def main(address: str, spares: str, inherited: str = "") -> None:
    """Serve until the worker ends."""
    listener = socket.socket(fileno=int(inherited)) if inherited else socket.socket(socket.AF_UNIX)
    if not inherited:
        Path(address).unlink(missing_ok=True)
        listener.bind(address)
        listener.listen(1024)
        listener.setblocking(False)
    listener.set_inheritable(True)
    anew = [sys.executable, "-P", "-m", "deployments.pool", address, spares]

    def begin_anew(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the new one can heed it
        os.execv(anew[0], [*anew, str(listener.fileno())])  # noqa: S606 - no shell

    signal.signal(signal.SIGHUP, begin_anew)
    signal.signal(signal.SIGCHLD, _reap)
    _reap(signal.SIGCHLD, None)  # spares of the pool before us may have left already
    preload()
    carry(next_run(listener, int(spares)))


if __name__ == "__main__":
    main(*sys.argv[1:])
