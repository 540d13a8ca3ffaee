"""Attacks on bounds: bombs of every kind, and ways not to end."""

from dataclasses import replace

from dryad.execution.sandbox.port import Limits, SandboxResult
from tests.dryad.execution.sandbox.hostile.attack import QUICK, Attack

_MEMORY = QUICK.memory_bytes
_SMALL_DISK = replace(QUICK, disk_bytes=8_000_000, disk_files=300)
_SHORT = replace(QUICK, wall_seconds=0.6)
_LITTLE_CPU = replace(QUICK, cpu_seconds=0.5)
_PRINTS = replace(QUICK, output_bytes=10_000, returned_files=5, returned_bytes=100_000)


def _memory_held(result: SandboxResult) -> None:
    # Between two looks a bomb may grow; each process alone is stopped by the kernel.
    assert result.peak_memory_bytes < 2 * _MEMORY, result


def _killed(result: SandboxResult) -> None:
    # What nobody waited for is counted as last seen: a busy machine may see too little in time.
    assert {"cpu_time", "wall_time"} & set(result.violations), result
    assert result.exit_code == 137, result


def _ended_in_time(result: SandboxResult) -> None:
    assert result.wall_seconds < 2.5, result
    assert result.exit_code == 137, result


def _cannot_fork(result: SandboxResult) -> None:
    assert result.wall_seconds < 2.5, result
    assert result.exit_code == 137 or "Cannot fork" in result.stderr, result


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


def _sockets_held(result: SandboxResult) -> None:
    # Each socket is charged as full, though most are not yet.
    assert result.peak_memory_bytes < 6 * _MEMORY, result


def _bomb(name: str, code: str, *, held: bool = True, limits: Limits = QUICK) -> Attack:
    """A memory bomb: ended by the watcher when `held`, else refused by the kernel first."""
    return Attack(
        name=name,
        guarantee="memory",
        code=code,
        limits=limits,
        expect="memory" if held else None,
        check=_sockets_held if "sockets full" in name else _memory_held,
    )


MEMORY = [
    _bomb("one big block", "b = bytearray(400_000_000)\nescaped()", held=False),
    _bomb(
        "many small blocks",
        "keep = []\nwhile True: keep.append(bytearray(1 << 20))",
        held=False,
    ),
    _bomb(
        "children, each within the bound",
        "for _ in range(6): \n"
        "    if os.fork() == 0: b = b'x' * 60_000_000; time.sleep(6); escaped(); os._exit(0)\n"
        "time.sleep(7)",
    ),
    _bomb(
        "a shared mapping without a file",
        "import mmap\nm = mmap.mmap(-1, 400_000_000)\n"
        "for i in range(0, 400_000_000, 4096): m[i] = 1\nescaped()",
        held=False,
    ),
    _bomb(
        "shared mappings that shrink and stay full",
        "import mmap\nfor _ in range(40):\n"
        "    m = mmap.mmap(-1, 50_000_000)\n"
        "    for i in range(0, 50_000_000, 4096): m[i] = 1\n"
        "    m.resize(4096)\nescaped()",
        held=False,
    ),
    _bomb(
        "a file in memory without a name",
        "fd = os.memfd_create('m')\nfor _ in range(400): os.write(fd, bytes(1 << 20))\nescaped()",
        held=False,
    ),
    _bomb(
        "the zero device, mapped shared",
        "import mmap\nfd = os.open('/dev/zero', os.O_RDWR)\n"
        "m = mmap.mmap(fd, 400_000_000)  # a container has the real device, and a control group\n"
        "for i in range(0, 400_000_000, 4096): m[i] = 1\nescaped()",
        held=False,
    ),
    _bomb(
        "private pages of children after a fork",
        "block = bytearray(50_000_000)\n"
        "for _ in range(5):\n"
        "    if os.fork() == 0:\n"
        "        for i in range(0, len(block), 4096): block[i] = 1\n"
        "        time.sleep(6); escaped(); os._exit(0)\n"
        "time.sleep(7)",
    ),
    _bomb(
        "sockets full of bytes",
        "def fill():\n"
        "    keep = []\n"
        "    try:\n"
        "        while True:\n"
        "            a, b = socket.socketpair(); keep += [a, b]; a.setblocking(False)\n"
        "            try:\n"
        "                while True: a.send(bytes(65536))\n"
        "            except BlockingIOError: pass\n"
        "    except OSError: time.sleep(6)\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0: fill(); escaped(); os._exit(0)\n"
        "time.sleep(7)",
    ),
    _bomb(
        "bigger pipes and sockets",
        "import fcntl\nr, w = os.pipe()\n"
        "try: fcntl.fcntl(w, 1031, 1 << 20); escaped('pipe')\n"
        "except OSError as e: print(e)\n"
        "a, b = socket.socketpair()\n"
        "try: a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24); escaped('socket')\n"
        "except OSError as e: print(e)",
        held=False,
    ),
    _bomb(
        "address space without pages",
        "import mmap\nkeep = []\nfor _ in range(100):\n"
        "    keep.append(mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,\n"
        "        prot=mmap.PROT_READ))\nescaped()",
        held=False,
    ),
    _bomb(
        "recursion without end",
        "sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)\nescaped()",
        held=False,
    ),
]

PROCESSES = [
    Attack(
        name="fork without end",
        guarantee="processes",
        code=(
            "count = 0\n"
            "while count < 2000:\n"
            "    try: pid = os.fork()\n"
            "    except OSError: break\n"
            "    if pid == 0: time.sleep(6); os._exit(0)\n"
            "    count += 1\n"
            f"if count > {QUICK.processes}: escaped(count)\n"
            "time.sleep(.1)"
        ),
        expect="processes",
    ),
    Attack(
        name="fork in every child",
        guarantee="processes",
        code="while True:\n    try: os.fork()\n    except OSError: time.sleep(.01)",
        limits=replace(_SHORT, cpu_seconds=20),
        check=_ended_in_time,
    ),
    Attack(
        name="the shell's own bomb",
        guarantee="processes",
        code="f() { f | f & }; f; sleep 9",
        language="shell",
        limits=replace(_SHORT, cpu_seconds=20),
        check=_cannot_fork,
    ),
    Attack(
        name="threads without end",
        guarantee="processes",
        code=(
            "threading.stack_size(65536)\ncount = 0\n"
            "try:\n"
            "    while count < 2000:\n"
            "        threading.Thread(target=time.sleep, args=(6,), daemon=True).start()\n"
            "        count += 1\n"
            "except RuntimeError: pass\n"
            f"if count > {QUICK.processes}: escaped(count)\n"
            "sys.stdout.flush(); time.sleep(.1); os._exit(0)"
        ),
        expect="processes",
    ),
    Attack(
        name="daemons that leave their parents",
        guarantee="processes",
        code=(
            "made = 0\n"
            "for _ in range(80):\n"
            "    try: pid = os.fork()\n"
            "    except OSError: break\n"
            "    if pid == 0:\n"
            "        os.setsid()\n"
            "        try:\n"
            "            if os.fork(): os._exit(0)\n"
            "        except OSError: os._exit(1)\n"
            "        time.sleep(6); os._exit(0)\n"
            "    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0: made += 1\n"
            f"if made > {QUICK.processes}: escaped(made)"
        ),
    ),
    Attack(
        name="raise the limit",
        guarantee="processes",
        code=(
            "import resource\n"
            "for kind in ('NPROC', 'NOFILE', 'DATA', 'AS', 'FSIZE', 'CPU'):\n"
            "    number = getattr(resource, 'RLIMIT_' + kind)\n"
            "    hard = resource.getrlimit(number)[1]\n"
            "    try: resource.setrlimit(number, (hard + 1, hard + 1)); escaped(kind)\n"
            "    except (OSError, ValueError) as e: print(e)"
        ),
        outside="root",
    ),
    Attack(
        name="descriptors without end",
        guarantee="processes",
        code=(
            "keep = []\n"
            "try:\n"
            "    while len(keep) < 3000: keep.append(os.dup(1))\n"
            "except OSError as e: print(e)\n"
            f"if len(keep) > {QUICK.open_files}: escaped(len(keep))"
        ),
        outside="root",
    ),
]

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
            "    try: pid = os.fork()\n"
            "    except OSError: continue\n"
            "    if pid == 0:\n"
            "        end = time.process_time() + .1\n"
            "        while time.process_time() < end: pass\n"
            "        os._exit(0)"
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
        limits=_SHORT,
        expect="wall_time",
        check=_ended_in_time,
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
