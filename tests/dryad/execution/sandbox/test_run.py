"""What every rung does for honest code."""

import asyncio

import pytest

from dryad.execution.sandbox.port import Limits, SandboxRequest
from dryad.foundation.errors import InvalidRequest
from tests.dryad.execution.sandbox.conftest import DECLARED

_OWN_FILES = [name for name, declared in DECLARED.items() if "disk" in declared]
"""Rungs with a bounded disk of their own, a folder of shared memory on it."""


async def test_python_prints_and_exits_as_it_says(sandbox):
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)"
    result = await sandbox.run(SandboxRequest(code=code))
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert result.rung == sandbox.name
    assert not result.violations


async def test_files_go_in_and_only_new_or_changed_ones_come_out(sandbox):
    code = (
        "import os\n"
        "os.makedirs('out/deep')\n"
        "open('out/deep/sum', 'w').write(str(sum(map(int, open('in/numbers')))))\n"
        "open('touched', 'ab').write(b'!')\n"
    )
    files = {"in/numbers": b"1\n2\n3\n", "touched": b"hi", "left": b"alone"}
    result = await sandbox.run(SandboxRequest(code=code, files=files))
    assert result.files == {"out/deep/sum": b"6", "touched": b"hi!"}


async def test_shell_code_sees_its_files_and_pipes(sandbox):
    code = "sort -n numbers | head -n 1 > least; cat least; exit 4"
    files = {"numbers": b"3\n1\n2\n"}
    result = await sandbox.run(SandboxRequest(code=code, language="shell", files=files))
    assert (result.exit_code, result.stdout) == (4, "1\n")
    assert result.files == {"least": b"1\n"}


async def test_a_command_gets_its_arguments_unsplit(sandbox):
    result = await sandbox.run(SandboxRequest(command=("printf", "%s|", "a b", "*", "")))
    assert result.stdout == "a b|*||"


async def test_numpy_and_pandas_compute(sandbox):
    code = (
        "import numpy, pandas\n"
        "table = pandas.read_csv('t.csv')\n"
        "print(table.groupby('k').v.sum().to_dict(), numpy.dot([1, 2], [3, 4]))"
    )
    result = await sandbox.run(SandboxRequest(code=code, files={"t.csv": b"k,v\na,1\nb,2\na,3\n"}))
    assert result.stdout == "{'a': 4, 'b': 2} 11\n", result.stderr


async def test_twenty_runs_at_once_keep_apart(sandbox):
    async def one(number: int) -> str:
        code = "import os\nprint(open('n').read(), sorted(os.listdir()))"
        files = {"n": str(number).encode(), f"only-{number}": b""}
        return (await sandbox.run(SandboxRequest(code=code, files=files))).stdout

    printed = await asyncio.gather(*(one(number) for number in range(20)))
    assert printed == [f"{n} ['__main__.py', 'n', 'only-{n}']\n" for n in range(20)]


async def test_ordinary_python_finds_what_it_expects(sandbox):
    code = (
        "import asyncio, sqlite3, subprocess, tempfile, threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "async def three(): await asyncio.sleep(0); return 3\n"
        "print(asyncio.run(three()))\n"
        "print(sqlite3.connect('d.db').execute('select 4').fetchone()[0])\n"
        "print(subprocess.run(['sh', '-c', 'echo 5 > /dev/null; echo 5'],"
        " capture_output=True, text=True).stdout.strip())\n"
        "with tempfile.NamedTemporaryFile('w+') as f: f.write('6'); f.seek(0); print(f.read())\n"
        "with ThreadPoolExecutor(4) as pool: print(sum(pool.map(abs, [-3, -4])))\n"
        "print(time.strftime('%Z'), help is not None)"
    )
    result = await sandbox.run(SandboxRequest(code=code))
    assert result.stdout.split()[:5] == ["3", "4", "5", "6", "7"], result
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("sandbox", _OWN_FILES, indirect=True)
async def test_processes_of_a_run_share_work(sandbox):
    code = (
        "import multiprocessing\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.Pool(3) as pool: print(pool.map(abs, [-1, -2]))\n"
        "    block = SharedMemory(create=True, size=100); block.buf[0] = 9\n"
        "    other = SharedMemory(block.name)\n"
        "    print(other.buf[0]); other.close(); block.close(); block.unlink()"
    )
    result = await sandbox.run(SandboxRequest(code=code))
    assert result.stdout == "[1, 2]\n9\n", result


async def test_memory_that_forks_share_counts_once(sandbox):
    code = (
        "import os, time\n"
        "block = b'x' * 60_000_000\n"
        "for _ in range(5):\n"
        "    if os.fork() == 0: time.sleep(.3); os._exit(0)\n"
        "time.sleep(.4)"
    )
    limits = Limits(memory_bytes=128_000_000)
    result = await sandbox.run(SandboxRequest(code=code, limits=limits))
    assert result.exit_code == 0, result
    assert 60_000_000 < result.peak_memory_bytes < 128_000_000
    assert not result.violations


async def test_what_a_run_used_is_measured(sandbox):
    code = (
        "import time\n"
        "end = time.process_time() + .3\n"
        "while time.process_time() < end: pass\n"
        "block = b'x' * 50_000_000; time.sleep(.1)"
    )
    result = await sandbox.run(SandboxRequest(code=code))
    assert 0.3 < result.cpu_seconds < 1
    assert 0.4 < result.wall_seconds < 10
    assert 50_000_000 < result.peak_memory_bytes < 90_000_000


async def test_a_program_that_does_not_exist_is_an_exit_code_not_an_error(sandbox):
    result = await sandbox.run(SandboxRequest(command=("no-such-program",)))
    assert result.exit_code == 127
    assert "no-such-program" in result.stderr


@pytest.mark.parametrize("sandbox", _OWN_FILES, indirect=True)
async def test_input_that_fills_the_disk_to_the_last_block_is_refused(sandbox):
    files = {f"f{number}": b"x" for number in range(200)}
    request = SandboxRequest(code="pass", files=files, limits=Limits(disk_bytes=10_000))
    with pytest.raises(InvalidRequest, match="disk"):
        await sandbox.run(request)


async def test_what_was_put_in_and_is_gone_is_named(sandbox):
    code = "import os; os.remove('a/old'); os.rename('b', 'c')"
    files = {"a/old": b"1", "a/kept": b"2", "b": b"3"}
    result = await sandbox.run(SandboxRequest(code=code, files=files))
    assert result.removed == {"a/old", "b"}
    assert result.files == {"c": b"3"}
