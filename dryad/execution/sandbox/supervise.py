"""The outer side of every rung: start a guest, give it an order, take its answer, or end it.

Supervisor and guest share one socket. When this process dies, however it dies, the kernel closes
our end, and the guest ends everything inside; no thread and no signal is involved.
"""

import asyncio
import contextlib
import marshal
import os
import signal
import socket
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from dryad.execution.sandbox import layout, seccomp
from dryad.execution.sandbox.orders import Bounds, Fence, Order, Setup
from dryad.execution.sandbox.port import (
    SCRIPTS,
    RungName,
    SandboxRequest,
    SandboxResult,
    Violation,
    check_file_name,
)
from dryad.foundation.errors import InvalidRequest, Unavailable

_PACKAGE = "dryad.execution.sandbox.guest"
_MODULES = ("kernel", "tree", "files", "room", "job", "main")
_BOOT = """\
import sys,marshal
f=open(0,"rb",closefd=False)
for n,c in marshal.load(f):
    m=sys.modules[n]=type(sys)(n);exec(c,m.__dict__)
m.main(f)
"""
_START_SECONDS = 20.0
_GRACE_SECONDS = 10.0
_ANSWER_EXTRA = 4_000_000
_MAX_NOTES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a rung starts its guest.

    `argv` is completed by the guest's own command line; `user`, when given, starts it as that user
    and group.
    """

    rung: RungName
    argv: tuple[str, ...]
    setup: Setup
    user: int | None = None


def guest_command() -> tuple[str, ...]:
    """Return the command line of a guest: a bare interpreter that reads its code from stdin."""
    return (layout.guest_python(), "-I", "-S", "-c", _BOOT)


@cache
def guest_code() -> bytes:
    """Return the guest's modules, compiled, in the order of their imports."""
    folder = Path(__file__).parent / "guest"
    sources = [(_PACKAGE, folder / "__init__.py")]
    sources += [(f"{_PACKAGE}.{name}", folder / f"{name}.py") for name in _MODULES]
    return marshal.dumps(
        [(name, compile(path.read_text(), f"<{name}>", "exec")) for name, path in sources]
    )


class Guest:
    """One started guest: it takes one order, answers, and is gone."""

    def __init__(
        self, rung: RungName, process: "subprocess.Popen[bytes]", channel: socket.socket
    ) -> None:
        self._rung: RungName = rung
        self._process = process
        self._channel = channel
        self._buffer = bytearray()
        self._budget = _ANSWER_EXTRA

    @classmethod
    async def start(cls, launch: Launch) -> "Guest":
        """Start a guest and return it once it is ready for its order.

        Raises:
            Unavailable: it did not become ready; the message is the guest's or the rung's own.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: ASYNC220 - a few ms, and no thread to outlive
                    launch.argv,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env={},
                    cwd="/",
                    start_new_session=True,
                    user=launch.user,
                    group=launch.user,
                    extra_groups=None if launch.user is None else [],
                )
            except OSError as error:
                ours.close()
                raise Unavailable(f"{launch.argv[0]} cannot be started: {error}") from error
        guest = cls(launch.rung, process, ours)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await guest.send(guest_code() + _packed(launch.setup))
                await guest.become_ready()
        except BaseException:  # the guest must not outlive any failure, not even a cancellation
            await guest.close()
            raise
        return guest

    async def become_ready(self) -> None:
        """Wait until the guest has settled in.

        Raises:
            Unavailable: it could not.
        """
        key, value = await self.receive()
        if key != "ready":
            raise Unavailable(f"the {self._rung} sandbox could not be set up: {_last_line(value)}")

    async def send(self, data: bytes) -> None:
        """Send bytes to the guest.

        Raises:
            Unavailable: the guest is gone.
        """
        try:
            await asyncio.get_running_loop().sock_sendall(self._channel, data)
        except OSError as error:
            raise await self._gone() from error

    async def receive(self) -> tuple[str, bytes]:
        """Return the next field of the guest's answer.

        Raises:
            Unavailable: the guest is gone, or says more than any order allows.
        """
        name = await self._bytes(await self._size(1_000))
        return name.decode(), await self._bytes(await self._size(self._budget))

    def allow(self, size: int) -> None:
        """Accept an answer of `size` bytes, and some for its form."""
        self._budget = size + _ANSWER_EXTRA

    async def _size(self, most: int) -> int:
        size = int.from_bytes(await self._bytes(8), "little")
        if size > most:
            raise Unavailable("the sandbox answered more than it may")
        return size

    async def _bytes(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        while len(self._buffer) < size:
            try:
                chunk = await loop.sock_recv(self._channel, 1 << 18)
            except OSError as error:
                raise await self._gone() from error
            if not chunk:
                raise await self._gone()
            self._buffer += chunk
        self._budget -= size
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def close(self) -> None:
        """End the guest and everything inside, whatever it is doing; safe to call twice."""
        self._channel.close()
        if self._process.returncode is None:
            await self._await_end(0.05)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await asyncio.shield(self._await_end(_GRACE_SECONDS))
        if self._process.stderr is not None:
            self._process.stderr.close()

    async def _await_end(self, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        pause = 0.0005
        while self._process.poll() is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.02)

    async def _gone(self) -> Unavailable:
        """Explain an end nobody asked for, from what the rung's own program printed."""
        self._channel.close()
        await self._await_end(2)
        stream = self._process.stderr
        text = b""
        if stream is not None and not stream.closed and self._process.returncode is not None:
            os.set_blocking(stream.fileno(), False)
            text = stream.read(10_000) or b""
        reason = _last_line(text) or f"its first process ended with {self._process.returncode}"
        return Unavailable(f"the {self._rung} sandbox could not be set up: {reason}")


async def run(
    guest: Guest, request: SandboxRequest, order: Order, *, rung: RungName
) -> SandboxResult:
    """Have a started guest carry out its order; the guest is gone afterwards.

    Raises:
        InvalidRequest: the input does not fit into the disk limit.
        Unavailable: the guest failed or vanished.
    """
    limits = request.limits
    guest.allow(2 * limits.output_bytes + limits.returned_bytes + 512 * limits.returned_files)
    answer = _Answer()
    try:
        async with asyncio.timeout(limits.wall_seconds + _GRACE_SECONDS):
            await guest.send(_packed(order))
            while answer.add(*await guest.receive()):
                pass
    except TimeoutError as error:
        raise Unavailable(f"the {rung} sandbox did not answer in time and was killed") from error
    finally:
        await guest.close()
    return answer.result(rung)


def order(
    request: SandboxRequest,
    *,
    box: str = layout.BOX,
    python: str | None = None,
    fence: Fence | None = None,
    unix_sockets: bool = True,
    process_base: int = 0,
) -> Order:
    """Turn a request into what the guest is told; `python` is the interpreter, inside."""
    seen = layout.layout()
    python = python or seen.python
    files = dict(request.files)
    argv = list(request.command)
    if request.code:
        script = SCRIPTS[request.language]
        files[script] = request.code.encode("utf-8", "replace")
        argv = [python if request.language == "python" else "/bin/sh", script]
    return {
        "argv": argv,
        "environment": layout.environment(box, python, seen.libraries),
        "files": list(files.items()),
        "bounds": cast("Bounds", asdict(request.limits)),
        "filter": seccomp.program(unix_sockets=unix_sockets),
        "quiet_filter": seccomp.program(reporting=False, unix_sockets=unix_sockets),
        "fence": fence,
        "process_base": process_base,
    }


class _Answer:
    """A guest's answer, field by field. The guest is ours, but it lived beside strangers."""

    def __init__(self) -> None:
        self._fields: dict[str, bytes] = {}
        self._violations: set[str] = set()
        self._refused: set[str] = set()
        self._notes: list[str] = []
        self._files: dict[str, bytes] = {}
        self._name = ""

    def add(self, key: str, value: bytes) -> bool:
        """Take one field; False after the last.

        Raises:
            InvalidRequest: the input does not fit into the disk limit.
            Unavailable: the guest failed.
        """
        text = value.decode("utf-8", "replace") if key != "content" else ""
        if key == "end":
            return False
        if key == "failed":
            raise Unavailable(f"the sandbox failed: {_last_line(value)}")
        if key == "too_large":
            raise InvalidRequest(f"code and files do not fit into the disk limit: {text}")
        if key == "violation":
            self._violations.add(text)
        elif key == "refused":
            self._refused.add(seccomp.names().get(int(text), text))
        elif key == "note":
            self._notes.append(text[:1_000])
        elif key == "name":
            check_file_name(text)
            self._name = text
        elif key == "content":
            self._files[self._name] = value
        else:
            self._fields[key] = value
        return True

    def result(self, rung: RungName) -> SandboxResult:
        """Return the whole as the port's type."""
        notes = self._notes[:_MAX_NOTES]
        violations = set(self._violations)
        if notes:
            violations.add("files")
        if self._refused:
            violations |= {_kind(name) for name in self._refused}
            notes.append(f"system calls refused: {', '.join(sorted(self._refused))}")
        streams: list[str] = []
        for key in ("stdout", "stderr"):
            lost = self._number(f"{key}_lost")
            streams.append(self._stream(key, lost))
            if lost:
                violations.add("output")
                notes.append(f"{key} was cut: {lost} bytes are left out of its middle")
        failure = self._fields.get("failure", b"").decode("utf-8", "replace")
        if failure:
            streams[1] += f"the program could not be started: {failure}\n"
        return SandboxResult(
            exit_code=self._number("exit_code"),
            stdout=streams[0],
            stderr=streams[1],
            files=self._files,
            wall_seconds=self._number("wall_microseconds") / 1e6,
            cpu_seconds=self._number("cpu_microseconds") / 1e6,
            peak_memory_bytes=self._number("peak_memory_bytes"),
            violations=cast("tuple[Violation, ...]", tuple(sorted(violations))),
            notes=tuple(notes),
            rung=rung,
        )

    def _number(self, key: str) -> int:
        return int(self._fields[key])

    def _stream(self, key: str, lost: int) -> str:
        head, tail = self._fields[f"{key}_head"], self._fields[f"{key}_tail"]
        if not lost:
            return (head + tail).decode("utf-8", "replace")
        cut = f"\n[… {lost} bytes cut …]\n"
        return head.decode("utf-8", "replace") + cut + tail.decode("utf-8", "replace")


def _packed(value: object) -> bytes:
    return marshal.dumps(cast("Any", value))


def _kind(name: str) -> str:
    return "network" if name in {"socket", "socketpair"} else "kernel"


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else ""
