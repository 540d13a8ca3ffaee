"""What a guest that is not the superuser sees of the processes of its run."""

import ctypes
import os
import signal

from dryad.execution.sandbox.guest.tree import _open_sockets

_PR_SET_DUMPABLE = 4


def _counted() -> list[int]:
    """Count the sockets of a process that ended and of one that hides, as their parent may."""
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setuid(65534)
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
            if (ended := os.fork()) == 0:
                os._exit(0)
            if (hidden := os.fork()) == 0:
                signal.pause()
            os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)  # nobody reaps it
            os.write(write, f"{_open_sockets(ended)} {_open_sockets(hidden)}".encode())
            os.kill(hidden, signal.SIGKILL)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as counts:
        return [int(count) for count in counts.read().split()]


def test_who_hides_its_sockets_is_charged_and_who_ended_is_not():
    """Else every child that nobody waits for would count as 50 MB of a run's memory."""
    assert _counted() == [0, 256]
