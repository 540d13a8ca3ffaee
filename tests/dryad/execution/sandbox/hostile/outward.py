"""Attacks on what lies outside: network, files, processes, secrets of the host."""

from tests.dryad.execution.sandbox.hostile.attack import Attack, Guarantee

_CONNECT = "s = socket.socket({family}, {kind})\ns.settimeout(2)\n"


def _attack(guarantee: Guarantee, name: str, code: str, outside: str = "anyone") -> Attack:
    return Attack(name=name, guarantee=guarantee, code=code, outside=outside)  # type: ignore[arg-type]


NETWORK = [
    _attack(
        "network",
        "connect to a TCP port of the host",
        "s = socket.create_connection(('127.0.0.1', world['tcp']), 2)\nescaped()",
    ),
    _attack(
        "network",
        "connect to an IPv6 port of the host",
        "s = socket.create_connection(('::1', world['tcp6']), 2)\nescaped()",
    ),
    _attack(
        "network",
        "send a UDP packet to the host",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.sendto(b'x', ('127.0.0.1', world['udp']))\nescaped()",
    ),
    _attack(
        "network",
        "connect to a Unix socket by path",
        "s = socket.socket(socket.AF_UNIX)\ns.connect(world['path'])\nescaped()",
    ),
    _attack(
        "network",
        "connect to an abstract Unix socket",
        "s = socket.socket(socket.AF_UNIX)\ns.connect(world['abstract'])\nescaped()",
    ),
    _attack("network", "listen on a TCP port", "s = socket.create_server(('', 0))\nescaped()"),
    _attack(
        "network",
        "ask the kernel for routes",
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\nescaped()",
    ),
    _attack(
        "network",
        "open a raw socket",
        "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\nescaped()",
        "root",
    ),
    _attack(
        "network",
        "open a packet socket",
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\nescaped()",
        "root",
    ),
    _attack(
        "network",
        "open a socket to the hypervisor",
        "s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)\nescaped()",
    ),
    _attack(
        "network",
        "open a socket of any family",
        "for family in range(2, 64):\n"
        "    for kind in (1, 2, 3, 5):\n"
        "        descriptor = libc.socket(family, kind, 0)\n"
        "        if descriptor >= 0: escaped(family, kind)",
    ),
    _attack(
        "network",
        "make a pair of internet sockets",
        "pair = (ctypes.c_int * 2)()\n"
        "if libc.socketpair(socket.AF_TIPC, 1, 0, pair) == 0: escaped()",
        "",
    ),
    _attack(
        "network",
        "find the host's ports in /proc",
        "lines = open('/proc/net/tcp').read()\nif f':{world[\"tcp\"]:04X} ' in lines: escaped()",
    ),
    _attack(
        "network",
        "find a network interface",
        "found = [n for _, n in socket.if_nameindex() if n != 'lo']\n"
        "if found or [n for n in os.listdir('/sys/class/net') if n != 'lo']: escaped()",
        "",
    ),
    _attack(
        "network",
        "resolve a name through the host",
        "print(socket.getaddrinfo('localhost', 80))\nescaped()",
    ),
    _attack(
        "network",
        "talk through the shell's /dev/tcp",
        "text = f'exec 3<>/dev/tcp/127.0.0.1/{world[\"tcp\"]} && echo ESCAPED'\n"
        "print(subprocess.run(['bash', '-c', text], capture_output=True, text=True).stdout)",
    ),
]

_READ = "print(open({path}).read())\nescaped()"

HOST_FILES = [
    _attack("host_files", "read a file of the host", _READ.format(path="world['secret']")),
    _attack(
        "host_files",
        "read it through the root of process 1",
        _READ.format(path="'/proc/1/root' + world['secret']"),
        "",
    ),
    _attack(
        "host_files",
        "read it through its own root",
        _READ.format(path="'/proc/self/root' + world['secret']"),
    ),
    _attack(
        "host_files",
        "climb out of the working directory",
        _READ.format(path="'/proc/self/cwd' + '/..' * 12 + world['secret']"),
    ),
    _attack(
        "host_files",
        "climb out with a changed directory",
        "os.chdir('/..')\nfor _ in range(20): os.chdir('..')\n"
        "print(open(world['secret'].lstrip('/')).read())\nescaped()",
    ),
    _attack("host_files", "read the password file", _READ.format(path="'/etc/shadow'"), "root"),
    _attack("host_files", "read the users", _READ.format(path="'/etc/passwd'")),
    _attack(
        "host_files",
        "read the project's source",
        "open(world['project'] + '/pyproject.toml').read()\nescaped()",
    ),
    _attack(
        "host_files",
        "import the project",
        "sys.path.append(world['project'])\nfrom importlib.util import find_spec\n"
        "if find_spec('dryad') is not None: escaped()",
    ),
    _attack(
        "host_files",
        "list the superuser's home",
        "names = os.listdir('/root')\nif set(names) - {'.pyenv', '.local'}: escaped(names)",
        "root",
    ),
    _attack(
        "host_files",
        "return a host file through a symbolic link",
        "os.symlink(world['secret'], 'out')\nos.symlink('/etc', 'folder')",
        "",
    ),
    _attack(
        "host_files",
        "return a host file through a hard link",
        "os.link(world['secret'], 'out')\nescaped()",
    ),
    _attack(
        "host_files",
        "read the disk itself",
        "for name in os.listdir('/sys/block'):\n"
        "    print(open('/dev/' + name, 'rb').read(16))\n    escaped()",
        "root",
    ),
    _attack(
        "host_files",
        "make a device of its own",
        "os.mknod('disk', 0o60600, os.makedev(254, 0))\nescaped()",
        "root",
    ),
    _attack(
        "host_files",
        "read the machine's memory",
        "for name in ('/dev/mem', '/dev/kmem', '/dev/port', '/proc/kcore'):\n"
        "    try: os.close(os.open(name, os.O_RDONLY)); escaped(name)\n"
        "    except OSError as e: print(e)",
        "",
    ),
    _attack(
        "host_files",
        "read the kernel's messages",
        "os.close(os.open('/dev/kmsg', os.O_RDONLY))\nescaped()",
        "root",
    ),
    _attack(
        "host_files",
        "open shared memory of the host",
        _READ.format(path="world['shared']"),
    ),
    _attack(
        "host_files",
        "find the secret by walking everything",
        "for folder, inner, names in os.walk('/'):\n"
        "    if folder in ('/proc', '/sys', '/usr', '/opt', '/root/.pyenv'): inner.clear()\n"
        "    if os.path.join(folder, 'key') == world['secret']: escaped(folder)",
        "",
    ),
]

HOST_NAMES = [
    _attack("host_names", "see that a file exists", "os.stat(world['secret'])\nescaped()"),
    _attack(
        "host_names",
        "learn a file's size",
        "if os.path.getsize(world['secret']) == world['size']: escaped()",
    ),
    _attack("host_names", "list a folder of the host", "os.listdir(world['open'])\nescaped()"),
    _attack(
        "host_names",
        "enter a folder of the host",
        "os.chdir(world['open'])\nescaped()",
    ),
    _attack(
        "host_names",
        "see who has a home",
        "if os.path.isdir('/home') or os.path.exists('/etc/passwd'): escaped()",
    ),
]

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
    *(_attack("host_writes", name, f"{code}\nescaped()", "") for name, code in _WRITE.items()),
    _attack(
        "host_writes",
        "change the owner of a file",
        "os.chown(world['target'], os.getuid(), 12345)\nescaped()",
        "",
    ),
    _attack(
        "host_writes",
        "attach an attribute",
        "os.setxattr(world['target'], 'user.mark', b'x')\nescaped()",
        "",
    ),
    *(
        _attack("host_writes", f"write to {path}", f"open({path!r}, 'w')\nescaped()", "")
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
    _attack(
        "host_writes",
        "change the interpreter's library",
        "open(os.__file__, 'a')\nescaped()",
        "",
    ),
    _attack(
        "host_writes",
        "install into the packages",
        "from importlib.util import find_spec\n"
        "open(os.path.dirname(find_spec('pandas').origin) + '/evil.py', 'w')\nescaped()",
        "",
    ),
    _attack(
        "host_writes",
        "reopen a readable file for writing",
        "f = open(os.__file__)\nopen(f'/proc/self/fd/{f.fileno()}', 'a')\nescaped()",
        "",
    ),
    _attack(
        "host_writes",
        "widen an open file's mode",
        "f = open(os.__file__)\nos.fchmod(f.fileno(), 0o777)\nescaped()",
        "",
    ),
]

HOST_PROCESSES = [
    _attack(
        "host_processes",
        "see another process",
        "os.kill(world['neighbour'], 0)\nescaped()",
    ),
    _attack(
        "host_processes",
        "kill another process",
        "os.kill(world['neighbour'], signal.SIGKILL)\nescaped()",
        "",
    ),
    _attack(
        "host_processes",
        "kill every process there is",
        "for pid in range(2, 100_000):\n"
        "    if pid == os.getpid(): continue\n"
        "    try: os.kill(pid, signal.SIGTERM); escaped(pid)\n"
        "    except OSError: pass",
        "",
    ),
    _attack(
        "host_processes",
        "stop a group of processes",
        "os.killpg(os.getpgid(world['neighbour']), signal.SIGSTOP)\nescaped()",
        "",
    ),
    _attack(
        "host_processes",
        "signal through a process descriptor",
        "signal.pidfd_send_signal(os.pidfd_open(world['neighbour']), 0)\nescaped()",
    ),
    _attack(
        "host_processes",
        "read another's command line",
        "open(f\"/proc/{world['neighbour']}/cmdline\").read()\nescaped()",
    ),
    _attack(
        "host_processes",
        "find the supervisor in /proc",
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: line = open(f'/proc/{pid}/cmdline').read()\n"
        "    except OSError: continue\n"
        "    if 'pytest' in line or 'neighbour' in line: escaped(pid)",
    ),
    _attack(
        "host_processes",
        "read another's memory",
        "open(f\"/proc/{world['neighbour']}/mem\", 'rb')\nescaped()",
        "root",
    ),
    _attack(
        "host_processes",
        "make another nicer",
        "os.setpriority(os.PRIO_PROCESS, world['neighbour'], 19)\nescaped()",
        "",
    ),
    _attack(
        "host_processes",
        "bind another to one core",
        "os.sched_setaffinity(world['neighbour'], {0})\nescaped()",
        "",
    ),
    _attack(
        "host_processes",
        "change another's limits",
        "import resource\n"
        "resource.prlimit(world['neighbour'], resource.RLIMIT_NOFILE, (7, 7))\nescaped()",
        "",
    ),
    _attack(
        "host_processes",
        "type into a terminal",
        "import fcntl\n"
        "for fd in (0, 1, 2):\n"
        "    try: fcntl.ioctl(fd, 0x5412, b'x'); escaped(fd)\n"
        "    except OSError as e: print(e)\n"
        "os.close(os.open('/dev/tty', os.O_RDWR))\nescaped()",
        "",
    ),
    _attack(
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

SECRETS = [
    _attack(
        "secrets",
        "read the environment",
        "if 'DRYAD_TEST_SECRET' in os.environ: escaped()\n"
        "print(os.environ, open('/proc/self/environ').read())",
    ),
    _attack(
        "secrets",
        "read the environment of everybody",
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: text = open(f'/proc/{pid}/environ').read()\n"
        "    except OSError as e: print(e); continue\n"
        "    print(text)\n"
        "    if 'DRYAD_TEST_SECRET' in text or 'NEIGHBOUR' in text: escaped(pid)",
    ),
    _attack(
        "secrets",
        "read the environment of process 1",
        "print(open('/proc/1/environ').read())\nescaped()",
        "",
    ),
    _attack(
        "secrets",
        "use an inherited descriptor",
        "for fd in range(3, 4096):\n"
        "    try: print(os.pread(fd, 100, 0)); escaped(fd)\n"
        "    except OSError as e:\n"
        "        if e.errno != errno.EBADF: escaped(fd, e)",
    ),
    _attack(
        "secrets",
        "read the supervisor's input",
        "data = sys.stdin.buffer.read()\nif data: escaped(data)",
        "",
    ),
    _attack(
        "secrets",
        "read secrets in command lines",
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: line = open(f'/proc/{pid}/cmdline').read()\n"
        "    except OSError: continue\n"
        "    if 'neighbour-' in line: escaped(line)",
    ),
]

OUTWARD = [
    *NETWORK,
    *HOST_FILES,
    *HOST_NAMES,
    *HOST_WRITES,
    *HOST_PROCESSES,
    *SECRETS,
]
