"""A sandbox that was started beforehand is as good as another, serves once, and leaves nothing."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from dryad.execution.sandbox.bubblewrap import BubblewrapSandbox
from dryad.execution.sandbox.namespaces import NamespaceSandbox
from dryad.execution.sandbox.pool import Pool
from dryad.execution.sandbox.port import Guarantee, Limits, RungName, Sandbox, SandboxRequest
from dryad.execution.sandbox.supervise import Guest
from dryad.foundation.errors import Refused, Unavailable

pytestmark = pytest.mark.parametrize("sandbox", ["bubblewrap", "namespaces"], indirect=True)


@pytest.fixture
async def pool(sandbox: Sandbox) -> AsyncGenerator[Pool]:
    assert isinstance(sandbox, BubblewrapSandbox | NamespaceSandbox)
    pool = Pool(sandbox)
    await pool.warm()
    yield pool
    await pool.close()


def guests() -> list[int]:
    """The sandboxes this process started and has not seen the end of."""
    own = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    children = [int(child) for child in Path(own).read_text().split()]
    return [c for c in children if b"marshal" in Path(f"/proc/{c}/cmdline").read_bytes()]


async def test_runs_share_nothing_and_keep_their_own_bounds(pool: Pool):
    code = "import os; open('left', 'w').close(); print(os.listdir(), os.getpid())"
    printed = [(await pool.run(SandboxRequest(code=code))).stdout for _ in range(4)]
    assert len(set(printed)) == 1
    assert printed[0].startswith("['__main__.py', 'left']") or "left" in printed[0]
    bound = Limits(memory_bytes=64_000_000, wall_seconds=0.4)
    slow = await pool.run(SandboxRequest(code="import time; time.sleep(9)", limits=bound))
    assert slow.violations == ("wall_time",)
    fat = await pool.run(SandboxRequest(code="b = bytearray(200_000_000)", limits=bound))
    assert "MemoryError" in fat.stderr


_AGE = """
import time
started = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / 100
print(time.clock_gettime(time.CLOCK_BOOTTIME) - started)
"""


async def test_an_interpreter_waits_for_its_program_and_for_one_alone(pool: Pool):
    await asyncio.sleep(0.5)
    ages = [float((await pool.run(SandboxRequest(code=_AGE))).stdout) for _ in range(2)]
    assert min(ages) > 0.4


SAME = {
    "names": "import sys; print(__name__, __file__, sys.argv, sys.path[0], __spec__, sys.stdin)",
    "a traceback": "def fail():\n    1 / 0\n\nfail()\n",
    "a syntax error": "print('one')\nprint(  'two'\n",
    "no end of line": "print('no end')",
    "its own source": "print(open('__main__.py').read())",
    "a file beside": "import helper; print(helper.WORD)",
    "letters": "print('Größe \N{SNOWMAN}')",
    "another encoding": "# -*- coding: latin-1 -*-\nprint(ascii('é'))",
    "lines of Windows": "print(1)\r\nprint(2)\r\n",
    "a large program": "TEXT = '" + "x" * 200_000 + "'\nprint(len(TEXT))",
    "an exit": "import sys; sys.exit(7)",
    "open files": "import os; print(sorted(os.listdir('/proc/self/fd')), os.getppid())",
    "children": (
        "import multiprocessing as m\n"
        "def double(n): return 2 * n\n"
        "if __name__ == '__main__':\n"
        "    process = m.get_context('spawn').Process(target=double, args=(1,))\n"
        "    process.start(); process.join(); print(process.exitcode)\n"
    ),
    "limits": "import resource as r; print([r.getrlimit(kind) for kind in range(16)])",
    "its disk": "import os; d = os.statvfs('.'); print(d.f_blocks, d.f_files, d.f_ffree)",
    "its folders": "import os; print(sorted(os.listdir('/box')), sorted(os.listdir()))",
    "what it leaves": "import os; os.remove('helper.py'); open('new', 'w').write('n')",
}
"""Programs that would notice an interpreter that was started before they were known."""


@pytest.mark.parametrize("code", SAME.values(), ids=list(SAME))
async def test_a_program_cannot_tell_that_its_interpreter_waited(
    pool: Pool, sandbox: Sandbox, code: str
):
    limits = Limits(disk_bytes=5_000_000, disk_files=50, processes=20)
    request = SandboxRequest(code=code, files={"helper.py": b"WORD = 'here'\n"}, limits=limits)
    cold, pooled = await sandbox.run(request), await pool.run(request)
    assert (pooled.exit_code, pooled.stdout, pooled.stderr) == (
        cold.exit_code, cold.stdout, cold.stderr,
    )  # fmt: skip
    assert (pooled.files, pooled.removed) == (cold.files, cold.removed)
    assert (pooled.violations, pooled.notes) == (cold.violations, cold.notes)


@pytest.mark.parametrize(
    "request_",
    [
        SandboxRequest(code="echo $0; ls", language="shell"),
        SandboxRequest(command=("ls", "-a")),
        SandboxRequest(command=("python", "-c", "print(__name__)")),
    ],
    ids=["shell", "a command", "another python"],
)
async def test_what_is_no_program_for_it_runs_without_the_interpreter(
    pool: Pool, sandbox: Sandbox, request_: SandboxRequest
):
    cold, pooled = await sandbox.run(request_), await pool.run(request_)
    assert (pooled.exit_code, pooled.stdout, pooled.stderr) == (0, cold.stdout, "")


async def test_an_interpreter_that_died_waiting_is_not_missed(pool: Pool):
    for guest in guests():
        for process in psutil.Process(guest).children(recursive=True):
            if process.cmdline()[1:] == ["__main__.py"]:
                process.kill()
    assert (await pool.run(SandboxRequest(code="print('there')"))).stdout == "there\n"


async def test_more_runs_than_wait_at_once_all_end(pool: Pool):
    runs = (pool.run(SandboxRequest(code=f"print({number})")) for number in range(6))
    assert [result.stdout for result in await asyncio.gather(*runs)] == [
        f"{number}\n" for number in range(6)
    ]


async def test_a_guest_that_died_waiting_is_replaced(pool: Pool):
    waiting = guests()
    assert len(waiting) == 2
    for guest in waiting:
        os.killpg(guest, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any("Z" not in Path(f"/proc/{g}/stat").read_text().split()[2] for g in waiting):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert (await pool.run(SandboxRequest(code="print('there')"))).stdout == "there\n"


async def test_no_more_wait_than_were_asked_for(pool: Pool):
    for _ in range(3):
        await pool.run(SandboxRequest(code="pass"))
        await pool.warm()  # while the refill is under way
        assert len(guests()) == 2


async def test_nothing_waits_after_the_end(sandbox: Sandbox):
    assert isinstance(sandbox, BubblewrapSandbox | NamespaceSandbox)
    before, pool = guests(), Pool(sandbox, size=3)
    await pool.run(SandboxRequest(code="pass"))  # the refill is under way when it is closed
    await pool.close()
    assert guests() == before


async def test_what_a_rung_does_not_guarantee_is_refused_here_too(sandbox: Sandbox):
    class Lesser:
        name: RungName = sandbox.name
        guarantees: frozenset[Guarantee] = frozenset({"network"})

        async def start(self, *, ahead: bool) -> Guest:
            raise Unavailable("it was started")

        async def carry_out(self, guest: Guest, request: SandboxRequest):
            raise AssertionError

    with pytest.raises(Refused, match="does not guarantee memory"):
        await Pool(Lesser()).run(SandboxRequest(code="pass", needs=frozenset({"memory"})))


def test_a_pool_serves_one_loop_after_another_and_is_closed_in_a_third(sandbox: Sandbox):
    assert isinstance(sandbox, BubblewrapSandbox | NamespaceSandbox)
    before, pool = guests(), Pool(sandbox)
    for _ in range(3):
        ran = asyncio.run(pool.run(SandboxRequest(code="print('there')")))
        assert ran.stdout == "there\n"
    asyncio.run(pool.close())
    assert guests() == before
