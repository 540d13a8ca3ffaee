"""The program of a run: the process that becomes it, confined, and where it prints."""

from __future__ import annotations

import _socket
import os
import resource

from dryad.execution.sandbox.guest import kernel

TYPE_CHECKING = False  # importing `typing` would cost every run 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from dryad.execution.sandbox.orders import Confinement, Order

_MAPPED_EXTRA = 2 << 30
"""Address space beyond the memory bound: for libraries, which are mapped, not held."""


class Program:
    """A process on its way to becoming a program; its output can be read, its start heard of.

    Args:
        argv: The program and its arguments.
        confinement: How it is confined.
        box: The run's own directory.
        order: The bounds it begins with; None when it is bound later.
        before: What the process does before anything else.
        listens: Whether it has a standard input.
    """

    def __init__(
        self,
        argv: list[str],
        confinement: Confinement,
        box: str,
        *,
        order: Order | None = None,
        before: Callable[[], None] | None = None,
        listens: bool = False,
    ) -> None:
        self.status, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        pipes = [os.pipe() for _ in range(2)]
        self.outputs = [read for read, _ in pipes]
        heard, self.input = os.pipe() if listens else (-1, -1)
        self.pid = os.fork()
        if self.pid == 0:
            streams = [heard, *(write for _, write in pipes)]
            _Child(argv, confinement, box, theirs, streams).become(order, before)
        theirs.close()
        if listens:
            os.close(heard)
        for read, write in pipes:
            os.close(write)
            os.set_blocking(read, False)

    def forget(self) -> None:
        """Close what the program could be read through."""
        self.status.close()
        for read in self.outputs:
            os.close(read)


def bind_resources(pid: int, order: Order) -> None:
    """Bound what one process, and each it starts, may use; 0 is this process."""
    bounds = order["bounds"]
    hard = {
        resource.RLIMIT_CPU: int(bounds["cpu_seconds"]) + 2,
        resource.RLIMIT_DATA: bounds["memory_bytes"],
        resource.RLIMIT_AS: bounds["memory_bytes"] + _MAPPED_EXTRA,
        resource.RLIMIT_FSIZE: bounds["disk_bytes"],
        resource.RLIMIT_NOFILE: bounds["open_files"],
        resource.RLIMIT_NPROC: bounds["processes"] + order["process_base"] + 1,
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
        resource.prlimit(pid, kind, (bound, bound))


class _Child:
    """The forked process."""

    def __init__(
        self,
        argv: list[str],
        confinement: Confinement,
        box: str,
        status: _socket.socket,
        streams: list[int],
    ) -> None:
        self._argv = argv
        self._confinement = confinement
        self._box = box
        self._status = status
        self._streams = streams

    def become(self, order: Order | None, before: Callable[[], None] | None) -> None:
        """Replace this process by the program; on failure say why and exit with 127."""
        try:
            if before is not None:
                before()
            self._prepare()
            if order is not None:
                bind_resources(0, order)
            self._filter()
            environment = dict(self._confinement["environment"])
            if order is not None:
                environment.update(order["environment"])
            path = _which(self._argv[0], environment["PATH"], f"{self._box}/work")
            os.execve(path, self._argv, environment)
        except BaseException as error:  # noqa: BLE001 - told to the parent, then the process ends
            self._status.sendall(b"!" + str(error).encode("utf-8", "replace"))
        finally:
            os._exit(127)

    def _prepare(self) -> None:
        os.setsid()
        kernel.die_with_parent()
        kernel.offer_to_die(1000)
        if self._streams[0] < 0:
            self._streams[0] = os.open("/dev/null", os.O_RDWR)
        for wanted, descriptor in enumerate(self._streams):
            os.dup2(descriptor, wanted)
        keep = self._status.fileno()
        os.closerange(3, keep)
        os.closerange(keep + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        os.chdir(f"{self._box}/work")
        os.umask(0o077)
        fence = self._confinement["fence"]
        if fence is not None:
            kernel.fence(fence["read"], fence["write"])

    def _filter(self) -> None:
        try:
            listener = kernel.install_filter(self._confinement["filter"], listen=True)
        except OSError:
            kernel.install_filter(self._confinement["quiet_filter"], listen=False)
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
