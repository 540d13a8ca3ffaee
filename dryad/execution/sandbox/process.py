"""Guests that are processes of this machine: how bubblewrap, namespaces and Landlock start them."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Sequence

from dryad.execution.sandbox.orders import Setup
from dryad.execution.sandbox.port import RungName
from dryad.execution.sandbox.supervise import Guest, SocketChannel, look_until
from dryad.foundation.errors import Unavailable


async def start(
    rung: RungName, argv: Sequence[str], setup: Setup, *, user: int | None = None
) -> Guest:
    """Start a guest by a command line and return it once it is ready for its order.

    The process gets an empty environment, its end of the stream, and nothing else of ours.

    Args:
        rung: Who starts it.
        argv: The whole command line.
        setup: How it settles in.
        user: The user and group it starts as; None for our own.

    Raises:
        Unavailable: it did not become ready; the message is the guest's or the program's own.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - a few ms, and no thread to outlive
                argv,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        except OSError as error:
            ours.close()
            raise Unavailable(f"{argv[0]} cannot be started: {error}") from error
    guest = Guest(rung, SocketChannel(ours), _Process(process))
    await guest.become_ready(setup)
    return guest


class _Process:
    """The process, and the session it leads; see `supervise.Holder`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    async def ended(self) -> bool:
        return self._process.poll() is not None

    async def until_ended(self) -> None:
        if self._process.poll() is not None:
            return
        try:  # the kernel tells at once: a look now and then would cost a run a millisecond
            handle = os.pidfd_open(self._process.pid)
        except OSError:  # an older kernel, or a container engine's filter, does not know the call
            await look_until(self.ended)
            return
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(handle, told.set)
        try:
            await told.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        self._process.wait()

    async def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def last_words(self) -> bytes:
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        return self._process.stderr.read(10_000) or b""

    def release(self) -> None:
        assert self._process.stderr is not None
        self._process.stderr.close()
