"""Bombs: of memory, of processes."""

from dataclasses import replace

from dryad.execution.sandbox.port import Limits, SandboxResult
from tests.dryad.execution.sandbox.hostile.attack import QUICK, SHORT, Attack, ended_in_time

_MEMORY = QUICK.memory_bytes


def _memory_held(result: SandboxResult) -> None:
    # Between two looks a bomb may grow; each process alone is stopped by the kernel.
    assert result.peak_memory_bytes < 2 * _MEMORY, result


def _sockets_held(result: SandboxResult) -> None:
    # Each socket is charged as full, though most are not yet.
    assert result.peak_memory_bytes < 6 * _MEMORY, result


def _cannot_fork(result: SandboxResult) -> None:
    assert result.wall_seconds < 2.5, result
    assert result.exit_code == 137 or "Cannot fork" in result.stderr, result


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
        "children whose first thread ended, each within the bound",
        "def hold(): time.sleep(.3); b = b'x' * 40_000_000; time.sleep(6); escaped()\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0:\n"
        "        threading.Thread(target=hold).start(); libc.pthread_exit(None)\n"
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
        "sys.setrecursionlimit(10**9)\nx = []\n"
        "for _ in range(2 * 10**5): x = [x]\nrepr(x)\nescaped()",
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
        limits=replace(SHORT, cpu_seconds=20),
        check=ended_in_time,
    ),
    Attack(
        name="the shell's own bomb",
        guarantee="processes",
        code="f() { f | f & }; f; sleep 9",
        language="shell",
        limits=replace(SHORT, cpu_seconds=20),
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
