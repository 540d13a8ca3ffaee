"""A command on a tether dies with its parent, on every platform the tether knows."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dryad.platform import tether
from tests.servers import wait_for

SLEEP = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); "
SLEEP += "time.sleep(60)"


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def start(tmp_path: Path, script: str) -> tuple["subprocess.Popen[bytes]", int]:
    """Start parent → tether → a sleeping command; return the parent and the command's pid."""
    note = tmp_path / "pid"
    code = (
        f"import os, subprocess, sys\n"
        f"c = [sys.executable, '-I', '-S', {script!r}, str(os.getpid()),\n"
        f"     sys.executable, '-c', {SLEEP!r}, {str(note)!r}]\n"
        f"subprocess.Popen(c).wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for("the command", lambda: note.exists() and note.read_text() != "")
    return parent, int(note.read_text())


@pytest.fixture
def watching(tmp_path: Path) -> str:
    """The tether as it behaves where the kernel offers no help."""
    script = tmp_path / "watching.py"
    source = Path(tether.__file__).read_text()
    assert 'sys.platform == "linux"' in source
    script.write_text(source.replace('sys.platform == "linux"', "False"))
    return str(script)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_the_kernel_kills_the_command_with_its_parent(tmp_path: Path) -> None:
    parent, pid = start(tmp_path, tether.__file__)
    assert alive(pid)
    parent.kill()
    parent.wait()
    wait_for("the end of the command", lambda: not alive(pid), seconds=1)


def test_a_watching_tether_kills_the_command_with_its_parent(tmp_path: Path, watching: str) -> None:
    parent, pid = start(tmp_path, watching)
    parent.kill()
    parent.wait()
    wait_for("the end of the command", lambda: not alive(pid), seconds=3)


@pytest.mark.parametrize("name", ["kernel", "watching"])
def test_the_exit_status_is_the_command_s(tmp_path: Path, watching: str, name: str) -> None:
    script = tether.__file__ if name == "kernel" else watching
    command = [sys.executable, "-I", "-S", script, str(os.getpid())]
    done = subprocess.run([*command, sys.executable, "-c", "raise SystemExit(7)"], check=False)
    assert done.returncode == 7


def test_a_tether_whose_parent_is_gone_already_runs_nothing(tmp_path: Path) -> None:
    note = tmp_path / "note"
    command = [sys.executable, "-I", "-S", tether.__file__, "1", sys.executable, "-c"]
    code = f"open({str(note)!r}, 'w').close()"
    done = subprocess.run([*command, code], check=False)
    assert done.returncode == 1
    assert not note.exists()
