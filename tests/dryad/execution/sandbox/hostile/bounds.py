"""Attacks on bounds: ways not to end, to fill the disk, to flood whoever reads the result."""

from dataclasses import replace

from dryad.execution.sandbox.port import SandboxResult
from tests.dryad.execution.sandbox.hostile.attack import QUICK, SHORT, Attack, ended_in_time
from tests.dryad.execution.sandbox.hostile.bombs import MEMORY, PROCESSES

_SMALL_DISK = replace(QUICK, disk_bytes=8_000_000, disk_files=300)
_LITTLE_CPU = replace(QUICK, cpu_seconds=0.3)
_PRINTS = replace(QUICK, output_bytes=10_000, returned_files=5, returned_bytes=100_000)


def _killed(result: SandboxResult) -> None:
    # What nobody waited for is counted as last seen: a busy machine may see too little in time.
    assert {"cpu_time", "wall_time"} & set(result.violations), result
    assert result.exit_code == 137, result


def _little_cpu(result: SandboxResult) -> None:
    assert result.cpu_seconds < 1.5, result


def _disk_held(result: SandboxResult) -> None:
    assert sum(map(len, result.files.values())) <= _SMALL_DISK.disk_bytes


def _short_output(result: SandboxResult) -> None:
    assert len(result.stdout) + len(result.stderr) < 25_000
    assert "bytes cut" in result.stdout + result.stderr


def _few_files(result: SandboxResult) -> None:
    assert len(result.files) <= 5
    assert sum(map(len, result.files.values())) <= 100_000
    assert any("not returned" in note for note in result.notes), result.notes


def _prompt(result: SandboxResult) -> None:
    assert result.exit_code == 0, result
    assert result.wall_seconds < 4, result


CPU_TIME = [
    Attack(
        name="a busy loop",
        guarantee="cpu_time",
        code="while True: pass",
        limits=_LITTLE_CPU,
        expect="cpu_time",
        check=_little_cpu,
    ),
    Attack(
        name="busy children",
        guarantee="cpu_time",
        code="for _ in range(6):\n    if os.fork() == 0:\n        while True: pass\ntime.sleep(7)",
        limits=_LITTLE_CPU,
        expect="cpu_time",
        check=_little_cpu,
    ),
    Attack(
        name="a busy loop deaf to its limit",
        guarantee="cpu_time",
        code=(
            "for s in range(1, 65):\n"
            "    try: signal.signal(s, signal.SIG_IGN)\n"
            "    except (OSError, ValueError): pass\n"
            "while True: pass"
        ),
        limits=_LITTLE_CPU,
        expect="cpu_time",
        check=_little_cpu,
    ),
    Attack(
        name="children nobody waits for",
        guarantee="cpu_time",
        code=(
            "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
            "while True:\n"
            "    for _ in range(4):\n"  # more would meet the bound of memory first
            "        if os.fork() == 0:\n"
            "            end = time.process_time() + .1\n"
            "            while time.process_time() < end: pass\n"
            "            os._exit(0)\n"
            "    try: os.wait()\n"  # ends with the last of them; their time is not told
            "    except ChildProcessError: pass"
        ),
        limits=replace(_LITTLE_CPU, wall_seconds=6),
        check=_killed,
    ),
    Attack(
        name="busy orphans after the end",
        guarantee="cpu_time",
        code=(
            "for _ in range(4):\n"
            "    if os.fork() == 0:\n"
            "        os.setsid()\n"
            "        while True: pass"
        ),
        limits=_LITTLE_CPU,
        check=_little_cpu,
    ),
]

WALL_TIME = [
    Attack(
        name=name,
        guarantee="wall_time",
        code=code,
        language="shell" if name.startswith("shell") else "python",
        limits=SHORT,
        expect="wall_time",
        check=ended_in_time,
    )
    for name, code in {
        "sleep": "time.sleep(60)",
        "sleep deaf to every signal": (
            "for s in range(1, 65):\n"
            "    try: signal.signal(s, signal.SIG_IGN)\n"
            "    except (OSError, ValueError): pass\n"
            "time.sleep(60)"
        ),
        "stop oneself": "os.kill(os.getpid(), signal.SIGSTOP)",
        "block every signal": (
            "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(60)"
        ),
        "wait for a pipe nobody writes": "os.mkfifo('p')\nopen('p').read()",
        "wait for a stopped child": (
            "pid = os.fork()\nif pid == 0: os.kill(os.getpid(), signal.SIGSTOP)\nos.waitpid(pid, 0)"
        ),
        "close every descriptor and wait": "os.closerange(0, 256)\ntime.sleep(60)",
        "shell with a trap": "trap '' TERM INT HUP; while :; do sleep 1; done",
        "stop the guest": (
            "for s in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM):\n"
            "    for pid in (1, os.getppid()):\n"
            "        try: os.kill(pid, s)\n"
            "        except OSError as e: print(e)\n"
            "time.sleep(60)"
        ),
    }.items()
]

DISK = [
    Attack(
        name=name,
        guarantee="disk",
        code=code,
        limits=_SMALL_DISK,
        check=_disk_held,
        language="shell" if name.startswith("shell") else "python",
    )
    for name, code in {
        "fill the disk": (
            "f = open('big', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20))\nescaped()"
        ),
        "fill it through many files": (
            "for i in range(64): open(f'f{i}', 'wb').write(bytes(1 << 20))\nescaped()"
        ),
        "fill the temporary folder": (
            "f = open('/tmp/big', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20))\nescaped()"
        ),
        "fill the folder of shared memory": (
            "f = open('/dev/shm/big', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20))\nescaped()"
        ),
        "reserve without writing": (
            "fd = os.open('big', os.O_CREAT | os.O_RDWR)\n"
            "os.posix_fallocate(fd, 0, 64 << 20)\nescaped()"
        ),
        "make files without content": (
            "for i in range(5000): open(f'e{i}', 'w').close()\nescaped()"
        ),
        "make folders": "for i in range(5000): os.mkdir(f'd{i}')\nescaped()",
        "make links": "for i in range(5000): os.symlink('x', f'l{i}')\nescaped()",
        "attach attributes": (
            "open('f', 'w').close()\n"
            "for i in range(1000): os.setxattr('f', f'user.{i}', bytes(60000))\nescaped()"
        ),
        "shell appends for ever": "while cat /usr/bin/env; do :; done > f 2> /dev/null; false",
        "write where nothing should be writable": (
            "for top in ('/', '/usr', '/etc', '/opt', '/var', '/dev', '/root', '/proc', '/box'):\n"
            "    try: open(f'{top}/new', 'w').write('x'); print(top)\n"
            "    except OSError as e: print(e)\n"
            "if os.path.exists('/new') or os.path.exists('/dev/new'): escaped()"
        ),
    }.items()
]

OUTPUT = [
    Attack(
        name="print without end",
        guarantee="output",
        code="for _ in range(200): sys.stdout.write('x' * 100_000)",
        limits=_PRINTS,
        expect="output",
        check=_short_output,
    ),
    Attack(
        name="print errors without end",
        guarantee="output",
        code="for _ in range(200): sys.stderr.write('x' * 100_000)",
        limits=_PRINTS,
        expect="output",
        check=_short_output,
    ),
    Attack(
        name="print what is no text",
        guarantee="output",
        code="for _ in range(20): os.write(1, os.urandom(65536))",
        limits=_PRINTS,
        expect="output",
        check=_short_output,
    ),
    Attack(
        name="yes",
        guarantee="output",
        code="yes | head -c 30000000",
        language="shell",
        limits=_PRINTS,
        expect="output",
        check=_short_output,
    ),
    Attack(
        name="return a huge file",
        guarantee="output",
        code="open('huge', 'wb').write(bytes(5_000_000))",
        limits=_PRINTS,
        expect="files",
        check=_few_files,
    ),
    Attack(
        name="return a file with nothing in it, a terabyte long",
        guarantee="output",
        code="try: open('sparse', 'wb').truncate(1 << 40)\n"
        "except OSError: open('sparse', 'wb').truncate(90_000_000)",
        limits=_PRINTS,
        expect="files",
        check=_few_files,
    ),
    Attack(
        name="return many files",
        guarantee="output",
        code="for i in range(60): open(f'f{i:02}', 'w').write('x')",
        limits=_PRINTS,
        expect="files",
        check=_few_files,
    ),
    Attack(
        name="return pipes, sockets and links",
        guarantee="output",
        code="os.mkfifo('pipe')\nos.symlink('/dev/zero', 'link')\nos.symlink('.', 'loop')\n",
        limits=_PRINTS,
        expect="files",
        check=_few_files,
    ),
    Attack(
        name="return names that are no text",
        guarantee="output",
        code="open(b'\\xff\\xfe', 'w').write('x')\nopen('new\\nline', 'w').write('x')",
        limits=_PRINTS,
        expect="files",
        check=_few_files,
    ),
    Attack(
        name="return folders without end",
        guarantee="output",
        code="for _ in range(100):\n    os.mkdir('d'); os.chdir('d'); open('f', 'w').write('x')",
        limits=_PRINTS,
        expect="files",
        check=_few_files,
    ),
    Attack(
        name="hold the output open after the end",
        guarantee="output",
        code="if os.fork() == 0: time.sleep(30)\nos._exit(0)",
        limits=_PRINTS,
        check=_prompt,
    ),
]

BOUNDS = [*MEMORY, *PROCESSES, *CPU_TIME, *WALL_TIME, *DISK, *OUTPUT]
