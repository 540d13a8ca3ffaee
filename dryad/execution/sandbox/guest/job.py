"""One run inside the sandbox: start it, watch its bounds, end it."""

from __future__ import annotations

import _socket
import os
import resource
import select
import time

from dryad.execution.sandbox.guest import kernel
from dryad.execution.sandbox.guest.tree import Tree

TYPE_CHECKING = False  # importing `typing` would cost every run 5 ms
if TYPE_CHECKING:
    from dryad.execution.sandbox.orders import Order

_TICK_MS = 15
_CHUNK = 1 << 16
_CONTROL = 0
_MAPPED_EXTRA = 2 << 30
"""Address space beyond the memory bound: for libraries, which are mapped, not held."""


class Abandoned(Exception):
    """The supervisor is gone."""


class Output:
    """What one stream printed: its beginning, its end, and how much there was."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = b""
        self._tail = b""
        self.size = 0

    def add(self, chunk: bytes) -> None:
        """Keep what fits."""
        self.size += len(chunk)
        missing = self._half - len(self._head)
        self._head += chunk[:missing]
        self._tail = (
            (self._tail + chunk[missing:])[-self._half :] if missing < len(chunk) else self._tail
        )

    def parts(self) -> tuple[bytes, bytes, int]:
        """Return the beginning, the end, and how many bytes between them are lost."""
        return self._head, self._tail, self.size - len(self._head) - len(self._tail)


class Job:
    """Runs one order to its end; afterwards `outputs`, `tree` and the rest say what happened."""

    def __init__(self, order: Order, *, box: str, disk: str | None, alone: bool) -> None:
        self._order = order
        self._bounds = order["bounds"]
        self._box = box
        self._disk = disk
        self._streams: dict[int, Output] = {}
        self._listener = -1
        self._poll = select.poll()
        self.tree = Tree(alone=alone)
        self.outputs: list[Output] = []
        self.violations: set[str] = set()
        self.refused: set[int] = set()
        self.failure = ""
        self.wall_seconds = 0.0

    def run(self) -> None:
        """Return when no process of the run is left.

        Raises:
            Abandoned: the supervisor is gone; nothing is left either.
        """
        started = time.monotonic()
        main, status = self._start()
        self._poll.register(_CONTROL, select.POLLIN)
        ended = self._end_of(main)
        try:
            self._hear(status)
            self._watch(main, ended, started)
        finally:
            self.tree.kill(main)
        self._hear(status)
        self._disk_use()
        if self.tree.killed_for_memory():
            self.violations.add("memory")
        self._drain()
        self.wall_seconds = time.monotonic() - started

    def _start(self) -> tuple[int, _socket.socket]:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        pipes = [os.pipe() for _ in range(2)]
        main = os.fork()
        if main == 0:
            _Child(self._order, self._box, theirs, [write for _, write in pipes]).become()
        theirs.close()
        for read, write in pipes:
            os.close(write)
            os.set_blocking(read, False)
            self.outputs.append(Output(self._bounds["output_bytes"]))
            self._streams[read] = self.outputs[-1]
            self._poll.register(read, select.POLLIN)
        return main, ours

    def _hear(self, channel: _socket.socket) -> None:
        """Receive the filter's listener, or why the program could not be started."""
        size = _socket.CMSG_SPACE(4)
        while True:
            message, extra, _, _ = channel.recvmsg(4096, size)
            if extra:
                self._listener = int.from_bytes(extra[0][2][:4], "little")
                self._poll.register(self._listener, select.POLLIN)
            if extra or not message:
                break
            self.failure = message[1:].decode("utf-8", "replace")

    def _watch(self, main: int, ended: int, started: float) -> None:
        looked = started
        while self.tree.main_status is None:
            ready = dict(self._poll.poll(_TICK_MS))
            if _CONTROL in ready:
                raise Abandoned
            for descriptor, event in ready.items():
                self._handle(descriptor, event)
            now = time.monotonic()
            if ended in ready or now - looked >= _TICK_MS / 1000:
                looked = now
                if self._broken(main, now - started):
                    return

    def _end_of(self, main: int) -> int:
        """Return a descriptor that tells when `main` ended, or -1: then the next look will."""
        try:
            ended = os.pidfd_open(main)
        except OSError:  # an older container engine's filter does not know the call
            return -1
        self._poll.register(ended, select.POLLIN)
        return ended

    def _handle(self, descriptor: int, event: int) -> None:
        if descriptor in self._streams:
            self._pour(descriptor)
        elif descriptor == self._listener and event & select.POLLIN:
            try:
                self.refused.add(kernel.refuse_one(descriptor))
            except OSError:
                pass  # the caller was killed meanwhile
        elif descriptor == self._listener:
            self._poll.unregister(descriptor)

    def _pour(self, descriptor: int) -> bool:
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if chunk:
            self._streams[descriptor].add(chunk)
            return True
        self._poll.unregister(descriptor)
        os.close(descriptor)
        del self._streams[descriptor]
        return False

    def _drain(self) -> None:
        for descriptor in list(self._streams):
            while self._pour(descriptor):
                pass

    def _broken(self, main: int, elapsed: float) -> bool:
        """Measure everything once; whether a bound was passed that ends the run."""
        limit = self._bounds["memory_bytes"]
        memory = self.tree.look(main=main, extra_memory=self._disk_use(), limit=limit)
        if self.tree.threads >= self._bounds["processes"]:
            self.violations.add("processes")
        passed = {
            "wall_time": elapsed > self._bounds["wall_seconds"],
            "cpu_time": self.tree.cpu_seconds() > self._bounds["cpu_seconds"],
            "memory": memory > limit,
        }
        self.violations |= {name for name, broken in passed.items() if broken}
        return any(passed.values())

    def _disk_use(self) -> int:
        if self._disk is None:
            return 0
        disk = os.statvfs(self._disk)
        if disk.f_bfree == 0 or disk.f_ffree == 0:
            self.violations.add("disk")
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


class _Child:
    """The forked process on its way to becoming the program."""

    def __init__(self, order: Order, box: str, status: _socket.socket, outputs: list[int]) -> None:
        self._order = order
        self._box = box
        self._status = status
        self._outputs = outputs

    def become(self) -> None:
        """Replace this process by the program; on failure say why and exit with 127."""
        try:
            self._prepare()
            argv = self._order["argv"]
            path = _which(argv[0], self._order["environment"]["PATH"], f"{self._box}/work")
            os.execve(path, argv, self._order["environment"])
        except BaseException as error:  # noqa: BLE001 - told to the parent, then the process ends
            self._status.sendall(b"!" + str(error).encode("utf-8", "replace"))
        finally:
            os._exit(127)

    def _prepare(self) -> None:
        os.setsid()
        kernel.die_with_parent()
        kernel.offer_to_die(1000)
        null = os.open("/dev/null", os.O_RDWR)
        for wanted, descriptor in enumerate([null, *self._outputs]):
            os.dup2(descriptor, wanted)
        keep = self._status.fileno()
        os.closerange(3, keep)
        os.closerange(keep + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        os.chdir(f"{self._box}/work")
        os.umask(0o077)
        if self._order["fence"] is not None:
            kernel.fence(self._order["fence"]["read"], self._order["fence"]["write"])
        self._bind_resources()
        self._filter()

    def _bind_resources(self) -> None:
        bounds = self._order["bounds"]
        cpu = int(bounds["cpu_seconds"]) + 2
        hard = {
            resource.RLIMIT_CPU: cpu,
            resource.RLIMIT_DATA: bounds["memory_bytes"],
            resource.RLIMIT_AS: bounds["memory_bytes"] + _MAPPED_EXTRA,
            resource.RLIMIT_FSIZE: bounds["disk_bytes"],
            resource.RLIMIT_NOFILE: bounds["open_files"],
            resource.RLIMIT_NPROC: bounds["processes"] + self._order["process_base"] + 1,
            resource.RLIMIT_MEMLOCK: 65_536,
            resource.RLIMIT_MSGQUEUE: 0,
            resource.RLIMIT_SIGPENDING: 256,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_RTPRIO: 0,
            resource.RLIMIT_NICE: 0,
        }
        for kind, value in hard.items():
            most = resource.getrlimit(kind)[1]
            bound = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(kind, (bound, bound))

    def _filter(self) -> None:
        try:
            listener = kernel.install_filter(self._order["filter"], listen=True)
        except OSError:
            kernel.install_filter(self._order["quiet_filter"], listen=False)
            return
        data = listener.to_bytes(4, "little")
        self._status.sendmsg([b"+"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, data)])
        os.close(listener)


def _which(name: str, path: str, here: str) -> str:
    if "/" in name:
        return name
    for folder in (*path.split(":"), here):
        if os.access(f"{folder}/{name}", os.X_OK):
            return f"{folder}/{name}"
    raise FileNotFoundError(f"no program named {name}")
