"""Stands for a flow run whose work is done elsewhere: `handoff.py ADDRESS MEMORY TETHER COMMAND…`.

Prefect starts this process, signals it and mourns it as if it were the run. It hands environment,
directory and standard streams to a process of the pool (`pool.py`) that listens at ADDRESS, passes
signals on, and ends as that process ends. A run that uses more than MEMORY bytes (0: no limit) is
killed, with the exit status by which Prefect says so. Where nobody takes the run, the COMMAND, an
ordinary run that imports for itself, carries it as our child, tied to us by TETHER.

Standard library only, and run by path with `-I -S`: it starts in 20 ms.
"""

import os
import select
import signal
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # neither of these modules costs a run anything
    from collections.abc import Callable

_PATIENCE_SECONDS = 60.0
"""How long a run waits for a pool that is there but takes nobody; it may still be importing."""
_LOOK_EVERY_SECONDS = 0.5
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_TOO_MUCH_MEMORY = 247
"""Prefect reports it as "terminated due to high memory usage"."""


def hand_over(connection: socket.socket) -> int:
    """Give this process's circumstances away; return the id of the process that took them.

    Raises:
        OSError: nobody did.
    """
    pairs = [name + b"=" + value for name, value in os.environb.items()]
    message = b"\0".join([os.fsencode(os.getcwd()), *pairs])  # noqa: PTH109 - pathlib takes 10 ms
    # What lies in the queue of a pool that takes nobody would keep the streams open when we end.
    if connection.recv(1) != b"?":
        raise ConnectionAbortedError
    socket.send_fds(connection, [len(message).to_bytes(4, "big")], [0, 1, 2])
    connection.sendall(message)
    taken = connection.recv(4)
    if len(taken) != 4:
        raise ConnectionAbortedError
    return int.from_bytes(taken, "big")


def wait(end: "Callable[[], int | None]", pid: int, memory: int) -> int:
    """Return the exit status of the run's process `pid`; that of a signal is negative.

    Args:
        end: Waits a moment; returns how the process ended, -1 for "by a signal", None for not yet.
        pid: Whom signals are passed on to.
        memory: See above.
    """
    ended_by, parent = signal.SIGKILL, os.getppid()

    def pass_on(number: int, _frame: object) -> None:
        nonlocal ended_by
        ended_by = signal.Signals(number)
        os.kill(pid, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    while os.getppid() == parent:
        if (status := end()) is not None:
            return -ended_by if status < 0 else status
        if 0 < memory < resident_bytes(pid):
            sys.stderr.write(f"The run was ended: it used more than {memory:,} bytes of memory.\n")
            os.kill(pid, signal.SIGKILL)
            return _TOO_MUCH_MEMORY
    return 1


def end_of_taken(connection: socket.socket) -> int | None:
    """Look whether the process that took the run has said how it ended, or left without a word."""
    try:
        status = connection.recv(1)
    except TimeoutError:
        return None
    return status[0] if status else -1


def end_of_child(pid: int, watched: int) -> int | None:
    """Look whether a child of ours has ended."""
    if not select.select([watched], [], [], _LOOK_EVERY_SECONDS)[0]:
        return None
    return max(-1, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def resident_bytes(pid: int) -> int:
    """Return how much memory a process uses; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - as above
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def carry_cold(memory: int, tether: str, command: tuple[str, ...]) -> int:
    """Let a child carry the run, and end as it ends; where it cannot be watched, become it."""
    tied = [sys.executable, "-I", "-S", tether]
    if not hasattr(os, "pidfd_open"):
        os.execv(tied[0], [*tied, str(os.getppid()), *command])  # noqa: S606 - no shell
    pid = os.posix_spawn(tied[0], [*tied, str(os.getpid()), *command], os.environ)
    watched = os.pidfd_open(pid)
    return wait(lambda: end_of_child(pid, watched), pid, memory)


def main(address: str, memory: str, tether: str, *command: str) -> None:
    """Hand the run over and end as it ends, or carry it cold."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_PATIENCE_SECONDS)
    try:
        connection.connect(address)
        pid = hand_over(connection)
    except OSError:
        connection.close()
        status = carry_cold(int(memory), tether, command)
    else:
        connection.settimeout(_LOOK_EVERY_SECONDS)
        status = wait(lambda: end_of_taken(connection), pid, int(memory))
    if status < 0:
        for number in _PASSED_ON:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
