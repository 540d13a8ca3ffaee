"""Run a command that dies with its parent: `python -I -S tether.py PARENT_PID COMMAND…`.

A process whose supervisor was killed with -9 would go on working unseen. On Linux the kernel kills
the command the moment its parent ends, and this process becomes the command. Elsewhere this
process stays, hands signals on, and kills the command within half a second of the parent's end;
killed with -9 itself, it cannot, and the run's lease has to do.

Standard library only, and run by path: it starts in 20 ms.
"""

import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_SECONDS = 0.5


def tie(parent: int) -> None:
    """Let the kernel kill this process when `parent` ends, which started it. Linux only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)


def become(parent: int, command: list[str]) -> None:
    """Replace this process by `command`, which the kernel kills when `parent` ends. Linux only."""
    tie(parent)
    os.execvp(command[0], command)  # noqa: S606 - a list of arguments, no shell


def watch(parent: int, command: list[str]) -> int:
    """Run `command` beside this process and kill it when `parent` ends; return its exit status."""
    child = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: child.send_signal(number))
    while os.getppid() == parent:
        try:
            status = child.wait(timeout=_LOOK_EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return 128 - status if status < 0 else status
    child.kill()
    return 1


if __name__ == "__main__":
    wanted, arguments = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        become(wanted, arguments)
    sys.exit(watch(wanted, arguments))
