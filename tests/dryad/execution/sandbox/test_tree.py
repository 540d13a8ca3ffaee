"""What a guest that is not the superuser sees of the processes of its run."""

import ctypes
import os
import signal
import subprocess
import sys

import psutil

from dryad.execution.sandbox.guest.tree import _open_sockets, _private_bytes, _share_bytes
from tests.servers import wait_for

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


LEADERLESS = """
import ctypes, socket, threading, time

def go_on():
    held, kept = bytearray(b"x" * 60_000_000), socket.socket()
    print(flush=True)
    time.sleep(60)

threading.Thread(target=go_on).start()
time.sleep(0.3)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_whose_first_thread_ended_is_charged_for_what_the_others_hold():
    with subprocess.Popen([sys.executable, "-c", LEADERLESS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        leader = psutil.Process(process.pid)
        wait_for("the end of its first thread", lambda: leader.status() == psutil.STATUS_ZOMBIE)
        assert _private_bytes(process.pid) > 60_000_000
        assert _share_bytes(process.pid) > 60_000_000
        assert _open_sockets(process.pid) == 1
        process.kill()
    assert _private_bytes(process.pid) == 0
