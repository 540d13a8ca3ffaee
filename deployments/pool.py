"""Keeps processes ready that have imported everything a flow run needs.

`python -P -m deployments.pool ADDRESS COUNT fork|start`: the worker starts it, and again when it
dies. COUNT spares (`spare.py`) wait at the socket ADDRESS. The pool imports once and forks them;
where it cannot fork, each is started and imports for itself, at ten times the processor time.
SIGHUP makes the pool begin anew with the code as it is then. Runs at work notice neither that nor
the pool's death; idle spares leave.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

from deployments import spare

_LONGEST_PAUSE_SECONDS = 600.0


def fork(listener: socket.socket, tie: socket.socket, others: Iterable[socket.socket]) -> None:
    """Make a spare of this process, without what is the pool's alone."""
    if os.fork() == 0:
        for other in others:
            other.close()
        for number in (signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        spare.serve(listener, tie)


def start(listener: socket.socket, tie: socket.socket, _others: Iterable[socket.socket]) -> None:
    """Start a spare that imports for itself."""
    tie.set_inheritable(True)
    inherited = [str(one.fileno()) for one in (listener, tie)]
    command = [sys.executable, "-P", "-m", spare.__name__, *inherited]
    os.posix_spawn(command[0], command, os.environ)


def keep(listener: socket.socket, count: int, make: Callable[..., None]) -> None:
    """Keep so many spares waiting, each made by `fork` or `start`."""
    idle: set[socket.socket] = set()
    pause = 1.0
    while True:
        while len(idle) < count:
            ours, theirs = socket.socketpair()
            make(listener, theirs, (*idle, ours))
            theirs.close()
            idle.add(ours)
        for one in select.select(idle, [], [])[0]:
            if one.recv(1):
                pause = 1.0
            else:  # it died idle: whatever killed it may kill the next one too
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            idle.discard(one)
            one.close()


def may_fork() -> bool:
    """Whether this process has one thread: a fork would leave others behind, locks and all."""
    return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - `threading` misses native ones


def _reap(_number: int, _frame: FrameType | None) -> None:
    """Let children that ended go; their handoffs know how they ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(address: str, count: str, how: str, inherited: str = "") -> None:
    """Serve until the worker ends."""
    listener = socket.socket(fileno=int(inherited)) if inherited else socket.socket(socket.AF_UNIX)
    if not inherited:
        Path(address).unlink(missing_ok=True)
        listener.bind(address)
        listener.listen(1024)
        listener.setblocking(False)
    listener.set_inheritable(True)
    anew = [sys.executable, "-P", "-m", "deployments.pool", address, count, how]

    def begin_anew(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the new one can heed it
        os.execv(anew[0], [*anew, str(listener.fileno())])  # noqa: S606 - no shell

    signal.signal(signal.SIGHUP, begin_anew)
    signal.signal(signal.SIGCHLD, _reap)
    _reap(signal.SIGCHLD, None)  # spares of the pool before us may have left already
    make = start
    if how == "fork":
        spare.preload()
        if may_fork():
            make = fork
        else:
            sys.stderr.write(
                "An import started a thread, so spares are started, not forked, and runs cost ten"
                " times as much: import that module inside a function.\n"
            )
    keep(listener, int(count), make)


if __name__ == "__main__":
    main(*sys.argv[1:])
