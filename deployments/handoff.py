"""Stands for a flow run whose work is done elsewhere: `handoff.py WORKER ADDRESS MEMORY COMMAND…`.

The process WORKER starts this one; Prefect signals and mourns it as if it were the run. It hands
environment, directory and standard streams to a spare (`spare.py`), passes signals on, and ends as
that one ends, or with the worker. A run that uses more than MEMORY bytes (0: no limit) is killed,
with the exit status by which Prefect says so. Where no spare waits at ADDRESS, the COMMAND starts
one for this run alone.

Standard library only, and run by path with `-I -S`: it starts in 20 ms.
"""

import os
import signal
import socket
import sys

_PATIENCE_SECONDS = 60.0
"""How long a run waits for a pool that is there but takes nobody; it may still be importing."""
_LOOK_EVERY_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_TOO_MUCH_MEMORY = 247
"""Prefect reports it as "terminated due to high memory usage"."""


def waiting(address: str) -> socket.socket:
    """Return a connection to a spare of the pool at `address`."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_PATIENCE_SECONDS)
    connection.connect(address)
    return connection


def started(command: tuple[str, ...]) -> socket.socket:
    """Return a connection to a spare that `command` starts."""
    ours, theirs = socket.socketpair()
    ours.settimeout(_PATIENCE_SECONDS)
    theirs.set_inheritable(True)
    os.posix_spawn(command[0], [*command, str(theirs.fileno())], os.environ)
    theirs.close()
    return ours


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


def die_with(worker: int) -> None:
    """End when the worker ends, at once where the kernel can see to it.

    A run that lived on for a moment would find its standard output closed, and be told of that.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - 5 ms; the run is under way meanwhile

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != worker:  # it ended before the kernel was asked
        sys.exit(1)


def wait(connection: socket.socket, worker: int, pid: int, memory: int) -> int:
    """Return the exit status of the run's process `pid`; that of a signal is negative.

    Args:
        connection: By which the process says how it ends; closed without a word by a signal.
        worker: Without whom nobody mourns the run any more.
        pid: Whom signals are passed on to.
        memory: See above.
    """
    ended_by = signal.SIGKILL

    def pass_on(number: int, _frame: object) -> None:
        nonlocal ended_by
        ended_by = signal.Signals(number)
        os.kill(pid, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    connection.settimeout(_LOOK_EVERY_SECONDS)
    while os.getppid() == worker:
        try:
            status = connection.recv(1)
        except TimeoutError:
            if 0 < memory < resident_bytes(pid):
                sys.stderr.write(
                    f"The run was ended: it used more than {memory:,} bytes of memory.\n"
                )
                os.kill(pid, signal.SIGKILL)
                return _TOO_MUCH_MEMORY
        else:
            return status[0] if status else -ended_by
    return 1


def resident_bytes(pid: int) -> int:
    """Return how much memory a process uses; 0 when it has ended."""
    if sys.platform != "linux":
        return resident_by_ps(pid)
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - as above
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def resident_by_ps(pid: int) -> int:
    """Return the same where the kernel has no files for it."""
    with os.popen(f"ps -o rss= -p {pid}") as told:  # noqa: S605 - a number
        return 1024 * int(told.read() or 0)


def main(worker: str, address: str, memory: str, *command: str) -> None:
    """Hand the run over and end as it ends."""
    try:
        connection = waiting(address)
        pid = hand_over(connection)
    except OSError:
        connection = started(command)
        pid = hand_over(connection)
    die_with(int(worker))
    status = wait(connection, int(worker), pid, int(memory))
    if status < 0:
        for number in _PASSED_ON:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
