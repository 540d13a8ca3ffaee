"""All processes of a run: how many, how much memory and CPU, and their end."""

import os
import resource

_TICKS = os.sysconf("SC_CLK_TCK")
_KILL = 9
_MEMORY_EVENTS = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)
"""Where a container sees its own control group, of either version; elsewhere neither exists."""
_SOCKET_BYTES = 212_992
"""The kernel's default bound of what one socket may hold (net.core.wmem_default)."""
_FREE_SOCKETS = 32
"""Sockets any program may have without being charged for their buffers."""


class Tree:
    """The run's processes, seen through /proc.

    Args:
        alone: Whether this process is the first of its own process namespace, so that every other
            process it sees belongs to the run; else only its descendants do.
    """

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        self._running: dict[str, int] = {}
        self._ended = 0
        self.main_status: int | None = None
        self.threads = 0
        self.peak_memory = 0

    def look(self, *, main: int, extra_memory: int, limit: int) -> int:
        """Measure once; return the bytes of memory in use now, `extra_memory` included.

        Sockets count as full: what waits in their buffers belongs to no process.

        The cheap sum counts pages shared after a fork once per process. Only when it passes
        `limit` is the exact, dearer share of each process asked for.
        """
        self._reap(main)
        pids = self.pids()
        extra_memory += max(0, self._sockets(pids) - _FREE_SOCKETS) * _SOCKET_BYTES
        self.threads, memory, running = 0, extra_memory, {}
        for pid in pids:
            usage = _usage(pid)
            if usage is not None:
                started, ticks, threads = usage
                running[f"{pid}@{started}"] = ticks
                self.threads += threads
                memory += _private_bytes(pid)
        self._ended += sum(ticks for key, ticks in self._running.items() if key not in running)
        self._running = running
        if memory > limit:
            memory = extra_memory + sum(_share_bytes(pid) for pid in pids)
        self.peak_memory = max(self.peak_memory, memory)
        return memory

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes, living and ended, as far as seen."""
        seen = (self._ended + sum(self._running.values())) / _TICKS
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return max(seen, ended.ru_utime + ended.ru_stime)

    def killed_for_memory(self) -> bool:
        """Whether the kernel ended a process because a control group of the run was full."""
        if not self._alone:
            return False  # the control group would be other people's too
        return any(_field(_read(path), b"oom_kill ") > 0 for path in _MEMORY_EVENTS)

    def pids(self) -> list[int]:
        """Return every process of the run, this one excepted."""
        if self._alone:
            own = os.getpid()
            return [
                int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own
            ]
        found: list[int] = []
        waiting = [os.getpid()]
        while waiting:
            children = _children(waiting.pop())
            found += children
            waiting += children
        return found

    def _sockets(self, pids: list[int]) -> int:
        if self._alone:
            with open("/proc/net/unix", "rb") as sockets:
                return sum(1 for _ in sockets) - 1
        return sum(_open_sockets(pid) for pid in pids)

    def kill(self, main: int) -> None:
        """Kill every process of the run and return when none is left."""
        while True:
            if self._alone:
                _signal(-1)
            else:
                for pid in self.pids():
                    _signal(pid)
            try:
                self._note(os.waitpid(-1, 0), main)
            except ChildProcessError:
                break
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        self.peak_memory = max(self.peak_memory, largest)

    def _reap(self, main: int) -> None:
        while True:
            try:
                ended = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if ended[0] == 0:
                return
            self._note(ended, main)

    def _note(self, ended: tuple[int, int], main: int) -> None:
        if ended[0] == main:
            self.main_status = ended[1]


def _signal(pid: int) -> None:
    try:
        os.kill(pid, _KILL)
    except ProcessLookupError:
        pass


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 8192)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _children(pid: int) -> list[int]:
    lines = (_read(f"/proc/{pid}/task/{thread}/children") for thread in _threads(pid))
    return [int(child) for line in lines for child in line.split()]


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _open_sockets(pid: int) -> int:
    """Count a process's sockets; one that hides its descriptors is charged for a whole table.

    Those of a process that ended, or is about to, are hidden from all but the superuser, too.
    """
    place, status = _told(pid)
    count = 0
    try:
        for name in os.listdir(f"{place}/fd"):
            count += os.readlink(f"{place}/fd/{name}").startswith("socket:")
    except PermissionError:
        return 256 if status else 0
    except OSError:
        pass
    return count


def _told(pid: int) -> tuple[str, bytes]:
    """Return where the kernel tells of a process, and its status; b"" of one that ended.

    Of a process whose first thread ended it tells no memory and no files, though others go on with
    them: then it is asked about one of those.
    """
    process = f"/proc/{pid}"
    if _has_memory(status := _read(f"{process}/status")):
        return process, status
    for thread in _threads(pid):
        if _has_memory(status := _read(f"{process}/task/{thread}/status")):
            return f"{process}/task/{thread}", status
    return process, b""


def _has_memory(status: bytes) -> bool:
    return b"\nRssAnon:" in status


def _usage(pid: int) -> tuple[int, int, int] | None:
    """Return start time, CPU ticks and number of threads."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 20:
        return None
    return int(fields[19]), int(fields[11]) + int(fields[12]), int(fields[17])


def _field(text: bytes, name: bytes) -> int:
    _, found, rest = text.partition(name)
    return int(rest.split(None, 1)[0]) * 1024 if found else 0


def _private_bytes(pid: int) -> int:
    _, status = _told(pid)
    return _field(status, b"\nRssAnon:") + _field(status, b"\nVmSwap:")


def _share_bytes(pid: int) -> int:
    """Return the process's share of anonymous memory; what it hides counts whole."""
    place, _ = _told(pid)
    text = _read(f"{place}/smaps_rollup")
    if b"\nPss_Anon:" not in text:
        return _private_bytes(pid)
    return _field(text, b"\nPss_Anon:") + _field(text, b"\nSwapPss:")
