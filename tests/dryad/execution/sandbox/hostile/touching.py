"""Attacks that would change the host: its files, its processes."""

from tests.dryad.execution.sandbox.hostile.attack import outward

_WRITE = {
    "overwrite a file": "open(world['target'], 'w').write('gone')",
    "append to a file": "open(world['target'], 'a').write('more')",
    "truncate a file": "os.truncate(world['target'], 0)",
    "delete a file": "os.unlink(world['target'])",
    "rename a file": "os.rename(world['target'], world['target'] + '.old')",
    "replace a file": "open('mine', 'w').write('gone'); os.replace('mine', world['target'])",
    "change a file's mode": "os.chmod(world['target'], 0o777)",
    "change a file's times": "os.utime(world['target'])",
    "make a file": "open(world['open'] + '/new', 'w').write('x')",
    "make a folder": "os.mkdir(world['open'] + '/new')",
    "make a symbolic link": "os.symlink('x', world['open'] + '/new')",
    "make a hard link": "os.link(world['target'], world['open'] + '/new')",
    "make a pipe": "os.mkfifo(world['open'] + '/new')",
    "write shared memory": "open(world['shared'], 'r+').write('gone')",
    "map a file and write": (
        "import mmap; f = open(world['target'], 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0:1] = b'X'"
    ),
}

HOST_WRITES = [
    *(outward("host_writes", name, f"{code}\nescaped()", "") for name, code in _WRITE.items()),
    outward(
        "host_writes",
        "change the owner of a file",
        "os.chown(world['target'], os.getuid(), 12345)\nescaped()",
        "",
    ),
    outward(
        "host_writes",
        "attach an attribute",
        "os.setxattr(world['target'], 'user.mark', b'x')\nescaped()",
        "",
    ),
    *(
        outward("host_writes", f"write to {path}", f"open({path!r}, 'w')\nescaped()", "")
        for path in (
            "/usr/bin/dryad-was-here",
            "/usr/lib/dryad-was-here",
            "/etc/ld.so.preload",
            "/dryad-was-here",
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/vm/drop_caches",
            "/proc/sysrq-trigger",
            "/sys/kernel/uevent_helper",
            "/sys/fs/cgroup/cgroup.procs",
        )
    ),
    outward(
        "host_writes",
        "change the interpreter's library",
        "open(os.__file__, 'a')\nescaped()",
        "",
    ),
    outward(
        "host_writes",
        "install into the packages",
        "from importlib.util import find_spec\n"
        "open(os.path.dirname(find_spec('pandas').origin) + '/evil.py', 'w')\nescaped()",
        "",
    ),
    outward(
        "host_writes",
        "reopen a readable file for writing",
        "f = open(os.__file__)\nopen(f'/proc/self/fd/{f.fileno()}', 'a')\nescaped()",
        "",
    ),
    outward(
        "host_writes",
        "widen an open file's mode",
        "f = open(os.__file__)\nos.fchmod(f.fileno(), 0o777)\nescaped()",
        "",
    ),
]

HOST_PROCESSES = [
    outward(
        "host_processes",
        "see another process",
        "os.kill(world['neighbour'], 0)\nescaped()",
    ),
    outward(
        "host_processes",
        "kill another process",
        "os.kill(world['neighbour'], signal.SIGKILL)\nescaped()",
        "",
    ),
    outward(
        "host_processes",
        "kill every process there is",
        "for pid in range(2, 100_000):\n"
        "    if pid == os.getpid(): continue\n"
        "    try: os.kill(pid, signal.SIGTERM); escaped(pid)\n"
        "    except OSError: pass",
        "",
    ),
    outward(
        "host_processes",
        "stop a group of processes",
        "os.killpg(os.getpgid(world['neighbour']), signal.SIGSTOP)\nescaped()",
        "",
    ),
    outward(
        "host_processes",
        "signal through a process descriptor",
        "signal.pidfd_send_signal(os.pidfd_open(world['neighbour']), 0)\nescaped()",
    ),
    outward(
        "host_processes",
        "read another's command line",
        "open(f\"/proc/{world['neighbour']}/cmdline\").read()\nescaped()",
    ),
    outward(
        "host_processes",
        "find the supervisor in /proc",
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: line = open(f'/proc/{pid}/cmdline').read()\n"
        "    except OSError: continue\n"
        "    if 'pytest' in line or 'neighbour' in line: escaped(pid)",
    ),
    outward(
        "host_processes",
        "read another's memory",
        "open(f\"/proc/{world['neighbour']}/mem\", 'rb')\nescaped()",
        "root",
    ),
    outward(
        "host_processes",
        "make another nicer",
        "os.setpriority(os.PRIO_PROCESS, world['neighbour'], 19)\nescaped()",
        "",
    ),
    outward(
        "host_processes",
        "bind another to one core",
        "os.sched_setaffinity(world['neighbour'], {0})\nescaped()",
        "",
    ),
    outward(
        "host_processes",
        "change another's limits",
        "import resource\n"
        "resource.prlimit(world['neighbour'], resource.RLIMIT_NOFILE, (7, 7))\nescaped()",
        "",
    ),
    outward(
        "host_processes",
        "type into a terminal",
        "import fcntl\n"
        "for fd in (0, 1, 2):\n"
        "    try: fcntl.ioctl(fd, 0x5412, b'x'); escaped(fd)\n"
        "    except OSError as e: print(e)\n"
        "os.close(os.open('/dev/tty', os.O_RDWR))\nescaped()",
        "",
    ),
    outward(
        "host_processes",
        "reach the guest's memory",
        "for pid in (1, os.getppid()):\n"
        "    for name in ('mem', 'environ', 'maps', 'fd', 'root', 'cwd'):\n"
        "        try:\n"
        "            path = f'/proc/{pid}/{name}'\n"
        "            print(os.listdir(path) if name in ('fd', 'root', 'cwd') else "
        "open(path, 'rb').read(1))\n"
        "            if name in ('mem', 'fd', 'root', 'cwd'): escaped(path)\n"
        "        except OSError as e: print(e)",
        "",
    ),
]
