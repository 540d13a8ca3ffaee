"""The one running instance of an installation: its lock, and the table of its processes.

The lock is the kernel's and goes with the process, so a killed instance never blocks the next.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from dryad.foundation.errors import Conflict

_LOCK, _TABLE = "lock", "processes.json"


@dataclass(frozen=True)
class Entry:
    """One process of the instance, as its supervisor last wrote it down."""

    name: str
    pid: int
    born: float
    """The kernel's start time of the process: with the pid it names one process for ever."""
    since: float
    """When it was started, seconds of the epoch."""
    restarts: int
    port: int | None
    state: str
    """starting | ready | waiting (dead, to be started again)."""

    @property
    def alive(self) -> bool:
        """Whether this very process still lives."""
        return self.pid > 0 and born(self.pid) == self.born


class Instance:
    """What is known of the instance of one installation; claim it before starting anything."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "run"

    @contextmanager
    def claimed(self) -> Generator[None]:
        """Be the instance of this installation while the block runs.

        Raises:
            Conflict: another process is.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(
                    f"this installation runs already: {self._holder(handle)}",
                    "`dryad down` stops it; DRYAD_HOME names another installation.",
                ) from error
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            yield
            (self.directory / _TABLE).unlink(missing_ok=True)
        finally:
            os.close(handle)

    @staticmethod
    def _holder(handle: int) -> str:
        return f"pid {os.pread(handle, 20, 0).decode() or '?'}"

    def pid(self) -> int | None:
        """Return the process that is the instance, if there is one."""
        try:
            handle = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(handle, 20, 0) or 0) or None
        finally:
            os.close(handle)
        return None

    def write(self, entries: list[Entry]) -> None:
        """Replace the table of processes, whole."""
        draft = self.directory / f"{_TABLE}.new"
        draft.write_bytes(orjson.dumps([asdict(entry) for entry in entries]))
        draft.replace(self.directory / _TABLE)

    def entries(self) -> list[Entry]:
        """Return the table of processes, also the one a killed instance left."""
        try:
            rows: list[dict[str, Any]] = orjson.loads((self.directory / _TABLE).read_bytes())
        except FileNotFoundError:
            return []
        return [Entry(**row) for row in rows]

    def end_orphans(self) -> list[Entry]:
        """Kill what a killed instance left running, where the kernel did not; return it.

        Call it only while the instance is claimed.
        """
        left = [entry for entry in self.entries() if entry.alive and entry.pid != os.getpid()]
        for entry in left:
            kill_tree(entry.pid)
        (self.directory / _TABLE).unlink(missing_ok=True)
        return left


def born(pid: int) -> float | None:
    """Return when a process was started, by the kernel; None when it is gone."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time()
    except psutil.NoSuchProcess:
        return None


def kill_tree(pid: int) -> None:
    """Kill a process and all that came from it, and wait until they are gone."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)


def wait_gone(instance: Instance, *, seconds: float) -> bool:
    """Wait until nobody is the instance any more; False when somebody still is."""
    deadline = time.monotonic() + seconds
    while instance.pid() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
