"""A process that waits for one flow run, carries it, and ends: nothing is left for the next.

The pool forks spares from itself (`pool.py`). Where it cannot, it starts each one by
`python -P -m deployments.spare LISTENER POOL`, two inherited sockets; that one imports for itself
before it waits. A handoff that finds no pool starts one by `… deployments.spare CONNECTION`, which
carries its run at once and imports on the way.
"""

import atexit
import ctypes
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
import traceback
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

import anyio
from pydantic import BaseModel

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
    """Import what runs need."""
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
    gc.collect()
    gc.freeze()  # or every collection in a forked spare would copy what it shares with the others


def _subclasses(of: type[BaseModel]) -> set[type[BaseModel]]:
    direct = set(of.__subclasses__())
    return direct.union(*map(_subclasses, direct))


def serve(listener: socket.socket, pool: socket.socket) -> NoReturn:
    """Wait for a run and carry it; end without one when the pool has left."""
    while True:
        if pool in select.select([listener, pool], [], [])[0]:
            os._exit(0)
        try:
            run = take(listener.accept()[0])
        except (OSError, EOFError):  # another spare was faster, or the caller has left
            continue
        if run is not None:
            pool.send(b"1")
            pool.close()
            listener.close()
            carry(run)


def take(connection: socket.socket) -> Run | None:
    """Read a run; None when it wants an interpreter that started otherwise than this one.

    Raises:
        EOFError: the caller has left.
    """
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
    """Let this process end when the other side of `connection` does.

    The kernel tells by a signal, and the handler is a function in C: a thread that waits for that
    end would not do, for while an extension or a regular expression holds the interpreter, none
    runs.
    """
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGIO, libc["_exit"])
    os.register_at_fork(after_in_child=connection.close)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([connection], [], [], 0)[0]:  # it ended before the kernel was asked
        os._exit(1)


def _of(environment: Mapping[bytes, bytes], *prefixes: bytes) -> dict[bytes, bytes]:
    return {name: environment[name] for name in environment if name.startswith(prefixes)}


def main(*inherited: str) -> NoReturn:
    """Serve a pool, or carry the one run that a handoff has."""
    first, *pool = (socket.socket(fileno=int(number)) for number in inherited)
    if pool:
        preload()
        serve(first, *pool)
    run = take(first)
    sys.exit("the run's interpreter is not this one") if run is None else carry(run)


if __name__ == "__main__":
    main(*sys.argv[1:])
