"""Nothing is left when a run ended, was cancelled, or lost its supervisor."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from dryad.execution.sandbox.port import Limits, Sandbox, SandboxRequest
from dryad.foundation.errors import Unavailable
from tests.dryad.execution.sandbox.conftest import Record
from tests.dryad.execution.sandbox.hostile.world import processes_with
from tests.servers import wait_for

_LINGER = """
import os, signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv('/bin/sh', ['sh', '-c', 'sleep 600; : {mark}'])
        os._exit(0)
open('here', 'w').close()
time.sleep({seconds})
"""

_OURS = ["bubblewrap", "namespaces"]
"""Rungs whose guest is a child of ours, in a process namespace of its own."""


def _lingering(mark: str, seconds: float) -> str:
    """Code that starts three daemons which can be found by `mark`, and then sleeps itself."""
    return _LINGER.format(mark=mark, seconds=seconds)


@pytest.fixture(autouse=True)
def own_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A temporary folder in which nobody but the run under test leaves anything."""
    with tempfile.TemporaryDirectory(prefix="dryad-temp-", dir="/tmp") as folder:
        Path(folder).chmod(0o1777)  # as /tmp is: who runs as somebody else clears up after himself
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield


def _left_behind() -> tuple[list[str], list[str]]:
    """The mounts we see, and what is in the temporary folder."""
    seen = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # An engine that other tests run at the same time mounts for containers of its own.
    engine = os.environ.get("DOCKER_HOST", "").removeprefix("unix://").removesuffix("/docker.sock")
    mounts = [mount for mount in seen if "/dryad-engine-" not in mount or mount.startswith(engine)]
    return mounts, sorted(path.name for path in Path(tempfile.gettempdir()).iterdir())


async def _started(mark: str) -> None:
    """Return when the daemons of a run are there."""
    await asyncio.to_thread(
        wait_for, "the daemons", lambda: len(processes_with(mark)) >= 3, seconds=30
    )


def _guests() -> list[int]:
    """The sandboxes this process started and has not seen the end of."""
    own = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    children = [int(child) for child in Path(own).read_text().split()]
    return [c for c in children if b"marshal" in Path(f"/proc/{c}/cmdline").read_bytes()]


async def test_daemons_that_outlive_their_parent_do_not_outlive_the_run(
    sandbox: Sandbox, record: Record
):
    mark, before = f"mark-{secrets.token_hex(8)}", _left_behind()
    result = await sandbox.run(SandboxRequest(code=_lingering(mark, 0.2)))
    assert result.exit_code == 0, result
    assert result.files == {"here": b""}
    assert processes_with(mark) == []
    assert _left_behind() == before
    record("nothing_left", sandbox.name)


async def test_a_cancelled_run_leaves_nothing(sandbox: Sandbox, record: Record):
    mark, before = f"mark-{secrets.token_hex(8)}", _left_behind()
    run = asyncio.create_task(sandbox.run(SandboxRequest(code=_lingering(mark, 600))))
    await _started(mark)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    wait_for("an end", lambda: not processes_with(mark), seconds=10)
    assert _left_behind() == before
    record("nothing_left", sandbox.name)


AT_ONCE = 20
_SUPERVISOR = """
import asyncio, sys
from dryad.execution.sandbox import ladder
from dryad.execution.sandbox.pool import Pool
from dryad.execution.sandbox.port import SandboxRequest

async def supervise(rung, at_once):
    sandbox, request = ladder.RUNGS[rung](), SandboxRequest(code=sys.stdin.read())
    pool = Pool(sandbox, size=3)
    if hasattr(sandbox, "start"):
        await pool.warm()
    await asyncio.gather(*(sandbox.run(request) for _ in range(at_once)))

asyncio.run(supervise(sys.argv[1], int(sys.argv[2])))
"""


def test_everything_inside_twenty_dies_with_its_supervisor(sandbox: Sandbox, record: Record):
    mark, before = f"mark-{secrets.token_hex(8)}", _left_behind()
    supervisor = psutil.Popen(
        [sys.executable, "-c", _SUPERVISOR, sandbox.name, str(AT_ONCE)], stdin=subprocess.PIPE
    )
    with supervisor.stdin as code:
        code.write(_lingering(mark, 600).encode())
    wait_for("twenty runs", lambda: len(processes_with(mark)) >= 3 * AT_ONCE, seconds=120)
    all_of_it = supervisor.children(recursive=True)  # those that wait in a pool as well
    assert sandbox.name not in _OURS or len(all_of_it) > 5 * AT_ONCE
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    wait_for("an end", lambda: not processes_with(mark), seconds=30)
    wait_for("an end of all", lambda: not any(p.is_running() for p in all_of_it), seconds=30)
    wait_for("a clean machine", lambda: _left_behind() == before, seconds=30)
    record("supervisor", sandbox.name)


@pytest.mark.parametrize("sandbox", _OURS, indirect=True)
async def test_a_guest_that_is_killed_is_an_error_not_a_result(sandbox: Sandbox, record: Record):
    mark = f"mark-{secrets.token_hex(8)}"
    run = asyncio.create_task(sandbox.run(SandboxRequest(code=_lingering(mark, 600))))
    await _started(mark)
    for guest in _guests():
        os.killpg(guest, signal.SIGKILL)
    with pytest.raises(Unavailable, match="ended"):
        await run
    wait_for("an end", lambda: not processes_with(mark), seconds=10)
    record("nothing_left", sandbox.name)


@pytest.mark.parametrize("sandbox", _OURS, indirect=True)
async def test_a_guest_that_is_stopped_does_not_outlive_its_caller(
    sandbox: Sandbox, record: Record
):
    mark = f"mark-{secrets.token_hex(8)}"
    run = asyncio.create_task(sandbox.run(SandboxRequest(code=_lingering(mark, 600))))
    await _started(mark)
    for guest in _guests():
        os.killpg(guest, signal.SIGSTOP)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    wait_for("an end", lambda: not processes_with(mark), seconds=10)
    record("nothing_left", sandbox.name)


async def test_time_runs_out_for_a_run_that_hides_in_its_own_session(
    sandbox: Sandbox, record: Record
):
    mark = f"mark-{secrets.token_hex(8)}"
    request = SandboxRequest(code=_lingering(mark, 600), limits=Limits(wall_seconds=1))
    result = await sandbox.run(request)
    assert result.violations == ("wall_time",)
    assert result.files == {"here": b""}
    assert processes_with(mark) == []
    record("wall_time", sandbox.name)
