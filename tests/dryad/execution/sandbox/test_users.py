"""The same holds for whoever starts a sandbox: root, root without its powers, anybody."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

import dryad

_INSIDE = """
import os, time
count = 0
try:
    while count < 500:
        if os.fork() == 0: time.sleep(9); os._exit(0)
        count += 1
except OSError: pass
disk = os.statvfs('/box')
print(os.getuid() == 0, count <= 20, disk.f_blocks * disk.f_frsize <= 5_000_000)
print('A_SECRET' in os.environ, open('/proc/self/status').read().split('CapEff:')[1].split()[0])
open('/proc/1/environ').read()
"""

_EXEC = ("sh", "-c", 'exec "$0" "$@"')
"""Without it `setpriv` would find the program with powers it then drops."""

_PROGRAM = f"""
import asyncio
from dryad.execution.sandbox.bubblewrap import BubblewrapSandbox
from dryad.execution.sandbox.namespaces import NamespaceSandbox
from dryad.execution.sandbox.port import Limits, SandboxRequest
limits = Limits(processes=20, disk_bytes=5_000_000, wall_seconds=6)
for rung in (BubblewrapSandbox, NamespaceSandbox):
    result = asyncio.run(rung().run(SandboxRequest(code={_INSIDE!r}, limits=limits)))
    print(rung.name, *result.stdout.split(), 'PermissionError' in result.stderr)
"""


_CROWDED = f"""
import asyncio
from dryad.execution.sandbox.landlock import LandlockSandbox
from dryad.execution.sandbox.port import Limits, SandboxRequest
from dryad.foundation.errors import Unavailable
try: rung = LandlockSandbox()
except Unavailable as error: print('skip', error)
else:
    code = {_INSIDE!r}.replace("/box", ".").replace("/proc/self/status", "/dev/null")
    code = code.replace(".split('CapEff:')[1].split()[0]", "")
    limits = Limits(processes=20, wall_seconds=6)
    result = asyncio.run(rung.run(SandboxRequest(code=code, limits=limits)))
    denied = 'PermissionError' in result.stderr
    print('processes' in rung.guarantees, *result.stdout.split(), denied)
"""


@pytest.fixture(scope="module")
def copy() -> Generator[Path]:
    """The library where anybody can read it."""
    source = Path(dryad.__file__).parent
    with tempfile.TemporaryDirectory(prefix="dryad-copy-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        skipped = shutil.ignore_patterns("__pycache__", "database")
        for part in ("foundation", "execution/sandbox"):
            shutil.copytree(source / part, Path(folder) / "dryad" / part, ignore=skipped)
        yield Path(folder)


def _anybodys_python() -> str | None:
    """An interpreter, new enough, which a stranger may run."""
    new_enough = "import sys; sys.exit(sys.version_info < (3, 11))"
    for candidate in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        probe = ["setpriv", "--reuid=65534", "--clear-groups", *_EXEC, candidate or "false"]
        if subprocess.run([*probe, "-c", new_enough], check=False, stderr=-3).returncode == 0:
            return candidate
    return None


@pytest.mark.parametrize(
    "powers",
    [
        pytest.param(["--reuid=65534", "--regid=65534", "--clear-groups"], id="anybody"),
        pytest.param(["--bounding-set=-sys_admin"], id="root-that-cannot-mount"),
        pytest.param([], id="root"),
    ],
)
def test_the_bounds_hold_for(powers: list[str], copy: Path):
    done = _run_as(powers, copy, _PROGRAM)
    held = "False True True False 0000000000000000 True"
    assert done.stdout.splitlines() == [f"bubblewrap {held}", f"namespaces {held}"], done


@pytest.mark.parametrize(
    "powers",
    [
        pytest.param(["--reuid=65534", "--regid=65534", "--clear-groups"], id="anybody"),
        pytest.param([], id="root"),
    ],
)
def test_among_others_the_bounds_hold_for(powers: list[str], copy: Path):
    done = _run_as(powers, copy, _CROWDED)
    if done.stdout.startswith("skip"):
        pytest.skip(done.stdout)
    processes, root, few, _, secret, denied = done.stdout.split()
    assert (processes, root, few, secret, denied) == ("True", "False", "True", "False", "True"), (
        done
    )


def _run_as(powers: list[str], copy: Path, program: str) -> "subprocess.CompletedProcess[str]":
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only the superuser can become others")
    python = _anybodys_python()
    if python is None:
        pytest.skip("no interpreter here can be run by everybody")
    return subprocess.run(
        ["setpriv", *powers, *_EXEC, python, "-B", "-c", program],
        env={"PYTHONPATH": str(copy), "PATH": os.environ["PATH"], "A_SECRET": "x"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
