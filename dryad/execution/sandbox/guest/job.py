"""One run inside the sandbox: watch its bounds, end it."""

from __future__ import annotations

import _socket
import os
import select
import time

from dryad.execution.sandbox.guest import kernel
from dryad.execution.sandbox.guest.talk import Talk
from dryad.execution.sandbox.guest.tree import Tree

TYPE_CHECKING = False  # importing `typing` would cost every run 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from dryad.execution.sandbox.guest.program import Program
    from dryad.execution.sandbox.orders import Bounds

_TICK_MS = 15
_CHUNK = 1 << 16
_CONTROL = 0


class Abandoned(Exception):
    """The supervisor is gone."""


class Output:
    """What one stream printed: its beginning, its end, and how much there was."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = b""
        self._tail = b""
        self.size: int = 0

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


class Said(Output):
    """What a program that is spoken to says: told at once, and nothing of it kept."""

    def __init__(self, limit: int, tell: Callable[[str, bytes], None]) -> None:
        super().__init__(limit)
        self._limit = self._left = limit
        self._tell = tell

    def add(self, chunk: bytes) -> None:
        """Tell what may still be told."""
        self.size += len(chunk)
        if told := chunk[: self._left]:
            self._tell("said", told)
        self._left -= len(told)

    def parts(self) -> tuple[bytes, bytes, int]:
        """Return nothing, and how many bytes were not told."""
        return b"", b"", self.size - (self._limit - self._left)


class Job:
    """Watches a program to its end; afterwards `outputs`, `tree` and the rest say what happened."""

    def __init__(
        self,
        program: Program,
        bounds: Bounds,
        *,
        disk: str | None,
        alone: bool,
        tell: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._program = program
        self._bounds = bounds
        self._disk = disk
        self._streams: dict[int, Output] = {}
        self._listener = -1
        self._poll = select.poll()
        self._talk = None if tell is None else Talk(self._poll, program.input)
        self.tree = Tree(alone=alone)
        limit = bounds["output_bytes"]
        self.outputs = [Output(limit) if tell is None else Said(limit, tell), Output(limit)]
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
        main, status = self._program.pid, self._program.status
        for read, output in zip(self._program.outputs, self.outputs, strict=True):
            self._streams[read] = output
            self._poll.register(read, select.POLLIN)
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
            if _CONTROL in ready and (self._talk is None or not self._talk.hear()):
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
        elif self._talk is not None and descriptor == self._talk.listens:
            self._talk.pass_on()
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
            "output": self._talk is not None
            and self.outputs[0].size > self._bounds["output_bytes"],
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
