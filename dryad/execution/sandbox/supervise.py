"""The outer side of every rung: give a started guest its order, take its answer, or end it.

Supervisor and guest share one stream. When this process dies, however it dies, the kernel closes
our end, and the guest ends everything inside; no thread and no signal is involved.
"""

import asyncio
import marshal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

from dryad.execution.sandbox import layout, seccomp
from dryad.execution.sandbox.answer import Answer, last_line
from dryad.execution.sandbox.orders import Bounds, Confinement, Fence, Order, Setup
from dryad.execution.sandbox.port import SCRIPTS, Limits, RungName, SandboxRequest, SandboxResult
from dryad.foundation.errors import Unavailable

_PACKAGE = "dryad.execution.sandbox.guest"
_MODULES = ("kernel", "tree", "files", "room", "program", "waiting", "talk", "job", "main")
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


class Channel(Protocol):
    """A stream of bytes to and from a guest."""

    async def send(self, data: bytes) -> None:
        """Send all of `data`, or raise OSError."""
        ...

    async def receive(self) -> bytes:
        """Return the next bytes, b"" at the end, or raise OSError."""
        ...

    def close(self) -> None:
        """Close our end; the guest takes that as its death sentence."""
        ...


class Holder(Protocol):
    """What the rung started: the process or container that holds the guest."""

    async def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        ...

    async def until_ended(self) -> None:
        """Return when nothing of it runs any more."""
        ...

    async def kill(self) -> None:
        """End it by force; no harm when it has ended."""
        ...

    def last_words(self) -> bytes:
        """Return what it printed beside the stream; called once, when it has ended."""
        ...

    def release(self) -> None:
        """Let go of what was needed to hold it; called once, last."""
        ...


class SocketChannel:
    """A stream over a connected socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._end.setblocking(False)

    async def send(self, data: bytes) -> None:
        """Send all of `data`; see `Channel.send`."""
        await asyncio.get_running_loop().sock_sendall(self._end, data)

    async def receive(self) -> bytes:
        """Return the next bytes; see `Channel.receive`."""
        return await asyncio.get_running_loop().sock_recv(self._end, 1 << 18)

    def close(self) -> None:
        """Close our end; see `Channel.close`."""
        self._end.close()


class Guest:
    """One started guest: it takes one order, answers, and is gone."""

    def __init__(self, rung: RungName, channel: Channel, holder: Holder) -> None:
        self._rung: RungName = rung
        self._channel = channel
        self._holder = holder
        self._buffer = bytearray()
        self._budget = _ANSWER_EXTRA
        self._closed = False

    async def become_ready(self, setup: Setup) -> None:
        """Send the guest its own code and its setup, and wait until it has settled in.

        Raises:
            Unavailable: it could not; the guest is gone then, as after any other failure.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self.send(_guest_code() + packed(setup))
                key, value = await self.receive()
        except TimeoutError as error:
            await self.close()
            raise self._failed("it did not start in time") from error
        except BaseException:  # whatever it is, a cancellation too, the guest must not outlive it
            await self.close()
            raise
        if key != "ready":
            await self.close()
            raise self._failed(last_line(value))

    async def ended(self) -> bool:
        """Whether it is gone already."""
        return self._closed or await self._holder.ended()

    async def send(self, data: bytes) -> None:
        """Send bytes to the guest.

        Raises:
            Unavailable: the guest is gone.
        """
        try:
            await self._channel.send(data)
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

    async def close(self) -> None:
        """End the guest and everything inside, whatever it is doing; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._channel.close()
        try:
            if not await self._await_end(0.1):
                await self._holder.kill()
                await asyncio.shield(self._await_end(_GRACE_SECONDS))
        finally:
            await self._holder.kill()
            self._holder.release()

    async def _size(self, most: int) -> int:
        size = int.from_bytes(await self._bytes(8), "little")
        if size > most:
            raise Unavailable("the sandbox answered more than it may")
        return size

    async def _bytes(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                chunk = await self._channel.receive()
            except OSError as error:
                raise await self._gone() from error
            if not chunk:
                raise await self._gone()
            self._buffer += chunk
        self._budget -= size
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _await_end(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._holder.until_ended()
        except TimeoutError:
            return False
        return True

    async def _gone(self) -> Unavailable:
        """Explain an end nobody asked for, from what the rung's own program printed."""
        self._channel.close()
        ended = await self._await_end(2)
        words = last_line(self._holder.last_words()) if ended else ""
        return self._failed(words or "its first process ended without a word")

    def _failed(self, reason: str) -> Unavailable:
        return Unavailable(f"the {self._rung} sandbox failed: {reason}")


async def look_until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once `holds` does, looking ever more rarely, at least every 20 ms."""
    pause = 0.0005
    while not await holds():
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.02)


async def run(
    guest: Guest, request: SandboxRequest, order: Order, *, rung: RungName
) -> SandboxResult:
    """Have a guest that is ready carry out its order; it is gone afterwards.

    Raises:
        InvalidRequest: the input does not fit into the disk limit.
        Unavailable: the guest failed or vanished.
    """
    limits = request.limits
    guest.allow(answer_bytes(limits))
    answer = Answer()
    try:
        async with asyncio.timeout(limits.wall_seconds + _GRACE_SECONDS):
            await guest.send(packed(order))
            while answer.add(*await guest.receive()):
                pass
    except TimeoutError as error:
        raise Unavailable(f"the {rung} sandbox did not answer in time and was killed") from error
    finally:
        await guest.close()
    return answer.result(rung)


def answer_bytes(limits: Limits) -> int:
    """Return the size of the largest answer to a request within `limits`."""
    return 2 * limits.output_bytes + limits.returned_bytes + 512 * limits.returned_files


def order(request: SandboxRequest, *, python: str | None = None, process_base: int = 0) -> Order:
    """Turn a request into what the guest is told.

    Args:
        request: What to run.
        python: The interpreter of Python code, inside.
        process_base: Processes outside the run which the kernel counts with it.
    """
    files = dict(request.files)
    argv = list(request.command)
    if request.code:
        script = SCRIPTS[request.language]
        files[script] = request.code.encode("utf-8", "replace")
        python = python or layout.layout().python
        argv = [python if request.language == "python" else "/bin/sh", script]
    return {
        "argv": argv,
        "files": list(files.items()),
        "bounds": cast("Bounds", asdict(request.limits)),
        "process_base": process_base,
        "environment": dict(request.environment),
        "talks": False,
    }


def confinement(
    *,
    box: str = layout.BOX,
    python: str | None = None,
    fence: Fence | None = None,
    crowded: bool = False,
) -> Confinement:
    """Return how every program of a place is confined.

    Args:
        box: The run's own directory, inside.
        python: The interpreter of Python code, inside.
        fence: Where Landlock lets the run read and write; None for anywhere.
        crowded: Whether files and processes of others are within reach of system calls.
    """
    seen = layout.layout()
    return {
        "environment": layout.environment(box, python or seen.python, seen.libraries),
        "filter": seccomp.program(crowded=crowded),
        "quiet_filter": seccomp.program(crowded=crowded, reporting=False),
        "fence": fence,
    }


def interpreter() -> list[str]:
    """Return the command line of Python code; see `Setup`."""
    return [layout.layout().python, SCRIPTS["python"]]


def guest_command() -> tuple[str, ...]:
    """Return the command line of a guest: a bare interpreter that reads its code from stdin."""
    return (layout.guest_python(), "-I", "-S", "-c", _BOOT)


@cache
def _guest_code() -> bytes:
    """Return the guest's modules, compiled, in the order of their imports."""
    folder = Path(__file__).parent / "guest"
    sources = [(_PACKAGE, folder / "__init__.py")]
    sources += [(f"{_PACKAGE}.{name}", folder / f"{name}.py") for name in _MODULES]
    return marshal.dumps(
        [(name, compile(path.read_text(), f"<{name}>", "exec")) for name, path in sources]
    )


def packed(value: object) -> bytes:
    """Return what is told to a guest as bytes."""
    return marshal.dumps(cast("Any", value))
