"""Supervision with real processes: they come back, they go in order, and none outlives us."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from dryad.foundation import logs
from dryad.foundation.errors import Conflict, Refused, Unavailable
from dryad.platform.instance import Instance, born
from dryad.platform.progress import failed, failure
from dryad.platform.supervisor import Command, Supervisor, rotate
from tests.servers import clean_environment, wait_for

SLEEPS = "import time; time.sleep(60)"
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


def command(name: str, code: str = SLEEPS, *, stop_seconds: float = 10, **more: float) -> Command:
    return Command(
        name, [sys.executable, "-c", code], clean_environment(), stop_seconds=stop_seconds, **more
    )


def start_stubborn(supervisor: Supervisor, name: str, sign: Path, *, stop_seconds: float) -> None:
    """Start a process that ignores being asked to end; return when it does so."""
    arguments = [sys.executable, "-c", STUBBORN, str(sign)]
    supervisor.start(Command(name, arguments, clean_environment(), stop_seconds=stop_seconds))
    wait_for("a stubborn process", sign.exists)


@pytest.fixture
def instance(tmp_path: Path) -> Generator[Instance]:
    instance = Instance(tmp_path / "home")
    with instance.claimed():
        yield instance


@pytest.fixture
def supervisor(instance: Instance, tmp_path: Path) -> Generator[Supervisor]:
    logs.configure(tmp_path / "logs", component="platform")
    supervisor = Supervisor(instance)
    yield supervisor
    supervisor.stop_soon()
    supervisor.stop_soon()
    supervisor.stop([], lambda _: None)


@pytest.fixture
def watching(supervisor: Supervisor) -> Generator[Supervisor]:
    """A supervisor with one process, watched by a thread of its own.

    The process is started here: it dies with the thread that started it.
    """
    supervisor.start(command("sleeper"))
    supervisor.wait(["sleeper"], seconds=10)
    thread = threading.Thread(target=supervisor.watch)
    thread.start()
    yield supervisor
    supervisor.stop_soon()
    thread.join()


def test_a_process_that_is_killed_comes_back_and_an_alert_says_so(
    watching: Supervisor, instance: Instance, tmp_path: Path
) -> None:
    (first,) = instance.entries()
    os.kill(first.pid, signal.SIGKILL)
    wait_for(
        "the next process",
        lambda: (now := instance.entries()[0]).pid != first.pid and now.state == "ready",
        seconds=10,
    )
    (second,) = instance.entries()
    assert (second.restarts, second.alive, first.alive) == (1, True, False)
    line = json.loads((tmp_path / "logs" / "gremlins_errors.log").read_text().splitlines()[-1])
    assert (line["event"], line["code"], line["process"]) == (
        "process_died", "process_died", "sleeper",
    )  # fmt: skip
    assert (line["pid"], line["status"]) == (first.pid, -signal.SIGKILL)


def test_a_process_that_keeps_dying_is_started_ever_more_slowly(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    note = tmp_path / "starts"
    supervisor.start(
        command("quitter", f"open({str(note)!r}, 'a').write('x'); raise SystemExit(3)")
    )
    stop = threading.Timer(5, supervisor.stop_soon)
    stop.start()
    supervisor.watch()
    stop.join()
    assert 3 <= len(note.read_text()) <= 4  # at 0, 0, 1, 4 s and a bit


def test_a_process_that_never_gets_ready_fails_with_its_last_words(supervisor: Supervisor) -> None:
    code = "print('starting'); raise SystemExit('no such table: x')"
    supervisor.start(command("broken", code, settle_seconds=5))
    with pytest.raises(Unavailable, match="broken ended 3 times: no such table: x") as caught:
        supervisor.wait(["broken"], seconds=30)
    assert "broken.out" in caught.value.next_step


def test_a_process_that_is_not_ready_in_time_fails(supervisor: Supervisor) -> None:
    slow = Command("slow", [sys.executable, "-c", SLEEPS], {}, ready=lambda: False)
    supervisor.start(slow)
    with pytest.raises(Unavailable, match="slow was not ready in time"):
        supervisor.wait(["slow"], seconds=1)


def test_processes_stop_in_order_and_the_stubborn_are_killed(
    supervisor: Supervisor, instance: Instance, tmp_path: Path
) -> None:
    supervisor.start(command("first", stop_seconds=1))
    start_stubborn(supervisor, "second", tmp_path / "stubborn", stop_seconds=1)
    supervisor.start(command("third", stop_seconds=1))
    supervisor.wait(["first", "second", "third"], seconds=10)
    entries, told = instance.entries(), list[tuple[str, list[bool]]]()

    def say(name: str) -> None:
        told.append((name, [entry.alive for entry in entries]))

    began = time.monotonic()
    supervisor.stop(["third", "second", "first"], say)
    assert told == [
        ("third", [True, True, True]),
        ("second", [True, True, False]),
        ("first", [True, False, False]),
    ]
    assert not any(entry.alive for entry in entries)
    assert 1 <= time.monotonic() - began < 4


def test_asked_twice_nothing_is_waited_for(supervisor: Supervisor, tmp_path: Path) -> None:
    start_stubborn(supervisor, "stubborn", tmp_path / "stubborn", stop_seconds=60)
    supervisor.stop_soon()
    supervisor.stop_soon()
    began = time.monotonic()
    supervisor.stop([], lambda _: None)
    assert time.monotonic() - began < 2


def test_a_command_that_ends_returns_what_it_printed(supervisor: Supervisor) -> None:
    assert (
        supervisor.finish(command("once", "print('one'); print('two')"), seconds=10) == "one\ntwo\n"
    )
    assert supervisor.finish(command("once", "print('three')"), seconds=10) == "three\n"


def test_a_command_that_fails_or_hangs_is_told_with_its_last_line(supervisor: Supervisor) -> None:
    with pytest.raises(Unavailable, match="once failed: it broke"):
        supervisor.finish(command("once", "raise SystemExit('it broke')"), seconds=10)
    with pytest.raises(Unavailable, match="once failed: it took longer than 1 s"):
        supervisor.finish(command("once", SLEEPS), seconds=1)


def test_the_error_of_another_process_is_raised_as_it_was(supervisor: Supervisor) -> None:
    told = failure(Refused("the database is newer", "Use a newer DRYAD."))
    with pytest.raises(Refused, match="the database is newer") as caught:
        supervisor.finish(command("once", f"raise SystemExit({told!r})"), seconds=10)
    assert caught.value.next_step == "Use a newer DRYAD."
    assert failed("Traceback") is None
    assert failed('{"event": "x"}') is None


def test_secrets_are_not_in_the_arguments_of_a_process(
    supervisor: Supervisor, instance: Instance
) -> None:
    secret = Command(
        "secret", [sys.executable, "-c", SLEEPS], {**clean_environment(), "KEY": "hunter2"}
    )
    supervisor.start(secret)
    supervisor.wait(["secret"], seconds=10)
    process = psutil.Process(instance.entries()[0].pid)
    assert "hunter2" not in " ".join(process.cmdline())
    assert process.environ()["KEY"] == "hunter2"
    assert "hunter2" not in repr(secret)


def test_output_is_rotated_by_copying_so_that_the_writer_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "x.out"
    with output.open("ab") as writer:
        writer.write(b"a" * 1000)
        writer.flush()
        rotate(output, 2000)
        assert output.stat().st_size == 1000
        rotate(output, 1000)
        writer.write(b"b")
        writer.flush()
    assert output.read_bytes() == b"b"
    assert (tmp_path / "x.out.1").read_bytes() == b"a" * 1000


INSTANCE = """
import sys, time
from pathlib import Path
from dryad.foundation import logs
from dryad.platform.instance import Instance
from dryad.platform.progress import failed, failure
from dryad.platform.supervisor import Command, Supervisor
home = Path(sys.argv[1])
logs.configure(home / "logs", component="platform")
instance = Instance(home)
with instance.claimed():
    instance.end_orphans()
    supervisor = Supervisor(instance)
    supervisor.heed_signals()
    for name in ("one", "two"):
        supervisor.start(Command(name, [sys.executable, "-c", "import time; time.sleep(60)"], {}))
    supervisor.wait(["one", "two"], seconds=20)
    print("ready", flush=True)
    supervisor.watch()
    supervisor.stop(["two", "one"], print)
"""


def begin(home: Path) -> "subprocess.Popen[str]":
    """Start an instance of two sleepers in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", textwrap.dedent(INSTANCE), str(home)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_is_clean(tmp_path: Path) -> None:
    process, instance = begin(tmp_path), Instance(tmp_path)
    entries = instance.entries()
    assert len(entries) == 2
    assert all(entry.alive for entry in entries)
    assert instance.pid() == process.pid
    process.kill()
    process.communicate()
    wait_for("their end", lambda: not any(entry.alive for entry in entries), seconds=2)
    assert instance.pid() is None
    again = begin(tmp_path)
    assert all(entry.alive for entry in instance.entries())
    again.terminate()
    assert again.communicate()[0] == "two\none\n"
    assert again.returncode == 0
    assert instance.entries() == []


def test_two_instances_of_one_home_are_refused_and_two_homes_are_not(tmp_path: Path) -> None:
    first = begin(tmp_path / "a")
    with pytest.raises(Conflict, match=f"pid {first.pid}"), Instance(tmp_path / "a").claimed():
        pass
    second = begin(tmp_path / "b")
    for process in (first, second):
        process.terminate()
        process.communicate()
        assert process.returncode == 0


def test_what_a_killed_instance_left_is_ended_but_never_a_stranger(
    instance: Instance, supervisor: Supervisor
) -> None:
    supervisor.start(command("left"))
    (left,) = instance.entries()
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPS])
    reused = type(left)("gone", stranger.pid, 1.0, 0.0, 0, None, "ready")  # the pid came back
    instance.write([left, reused])
    assert [entry.name for entry in instance.end_orphans()] == ["left"]
    assert born(left.pid) is None
    assert stranger.poll() is None
    assert instance.entries() == []
    stranger.kill()
    stranger.wait()
