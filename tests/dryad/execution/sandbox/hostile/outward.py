"""Attacks that would learn or reach something outside: network, files, secrets of the host."""

from tests.dryad.execution.sandbox.hostile.attack import outward
from tests.dryad.execution.sandbox.hostile.touching import HOST_PROCESSES, HOST_WRITES

NETWORK = [
    outward(
        "network",
        "connect to a TCP port of the host",
        "s = socket.create_connection(('127.0.0.1', world['tcp']), 2)\nescaped()",
    ),
    outward(
        "network",
        "connect to an IPv6 port of the host",
        "s = socket.create_connection(('::1', world['tcp6']), 2)\nescaped()",
    ),
    outward(
        "network",
        "send a UDP packet to the host",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.sendto(b'x', ('127.0.0.1', world['udp']))\nescaped()",
    ),
    outward(
        "network",
        "connect to a Unix socket by path",
        "s = socket.socket(socket.AF_UNIX)\ns.connect(world['path'])\nescaped()",
    ),
    outward(
        "network",
        "connect to an abstract Unix socket",
        "s = socket.socket(socket.AF_UNIX)\ns.connect(world['abstract'])\nescaped()",
    ),
    outward("network", "listen on a TCP port", "s = socket.create_server(('', 0))\nescaped()"),
    outward(
        "network",
        "ask the kernel for routes",
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\nescaped()",
    ),
    outward(
        "network",
        "open a raw socket",
        "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\nescaped()",
        "root",
    ),
    outward(
        "network",
        "open a packet socket",
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\nescaped()",
        "root",
    ),
    outward(
        "network",
        "open a socket to the hypervisor",
        "s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)\nescaped()",
    ),
    outward(
        "network",
        "open a socket of any family",
        "for family in range(2, 64):\n"
        "    for kind in (1, 2, 3, 5):\n"
        "        descriptor = libc.socket(family, kind, 0)\n"
        "        if descriptor >= 0: escaped(family, kind)",
    ),
    outward(
        "network",
        "make a pair of internet sockets",
        "pair = (ctypes.c_int * 2)()\n"
        "if libc.socketpair(socket.AF_TIPC, 1, 0, pair) == 0: escaped()",
        "",
    ),
    outward(
        "network",
        "find the host's ports in /proc",
        "lines = open('/proc/net/tcp').read()\nif f':{world[\"tcp\"]:04X} ' in lines: escaped()",
    ),
    outward(
        "network",
        "find a network interface",
        "found = [n for _, n in socket.if_nameindex() if n != 'lo']\n"
        "if found or [n for n in os.listdir('/sys/class/net') if n != 'lo']: escaped()",
        "",
    ),
    outward(
        "network",
        "resolve a name through the host",
        "print(socket.getaddrinfo('localhost', 80))\nescaped()",
    ),
    outward(
        "network",
        "talk through the shell's /dev/tcp",
        "text = f'exec 3<>/dev/tcp/127.0.0.1/{world[\"tcp\"]} && echo ESCAPED'\n"
        "print(subprocess.run(['bash', '-c', text], capture_output=True, text=True).stdout)",
    ),
]

_READ = "print(open({path}).read())\nescaped()"

HOST_FILES = [
    outward("host_files", "read a file of the host", _READ.format(path="world['secret']")),
    outward(
        "host_files",
        "read it through the root of process 1",
        _READ.format(path="'/proc/1/root' + world['secret']"),
        "",
    ),
    outward(
        "host_files",
        "read it through its own root",
        _READ.format(path="'/proc/self/root' + world['secret']"),
    ),
    outward(
        "host_files",
        "climb out of the working directory",
        _READ.format(path="'/proc/self/cwd' + '/..' * 12 + world['secret']"),
    ),
    outward(
        "host_files",
        "climb out with a changed directory",
        "os.chdir('/..')\nfor _ in range(20): os.chdir('..')\n"
        "print(open(world['secret'].lstrip('/')).read())\nescaped()",
    ),
    outward("host_files", "read the password file", _READ.format(path="'/etc/shadow'"), "root"),
    outward("host_files", "read the users", _READ.format(path="'/etc/passwd'")),
    outward(
        "host_files",
        "read the project's source",
        "open(world['project'] + '/pyproject.toml').read()\nescaped()",
    ),
    outward(
        "host_files",
        "import the project",
        "sys.path.append(world['project'])\nfrom importlib.util import find_spec\n"
        "if find_spec('dryad') is not None: escaped()",
    ),
    outward(
        "host_files",
        "list the superuser's home",
        "names = os.listdir('/root')\nif set(names) - {'.pyenv', '.local'}: escaped(names)",
        "root",
    ),
    outward(
        "host_files",
        "return a host file through a symbolic link",
        "os.symlink(world['secret'], 'out')\nos.symlink('/etc', 'folder')",
        "",
    ),
    outward(
        "host_files",
        "return a host file through a hard link",
        "os.link(world['secret'], 'out')\nescaped()",
    ),
    outward(
        "host_files",
        "read the disk itself",
        "for name in os.listdir('/sys/block'):\n"
        "    print(open('/dev/' + name, 'rb').read(16))\n    escaped()",
        "root",
    ),
    outward(
        "host_files",
        "make a device of its own",
        "os.mknod('disk', 0o60600, os.makedev(254, 0))\nescaped()",
        "root",
    ),
    outward(
        "host_files",
        "read the machine's memory",
        "for name in ('/dev/mem', '/dev/kmem', '/dev/port', '/proc/kcore'):\n"
        "    try: os.close(os.open(name, os.O_RDONLY)); escaped(name)\n"
        "    except OSError as e: print(e)",
        "",
    ),
    outward(
        "host_files",
        "read the kernel's messages",
        "os.close(os.open('/dev/kmsg', os.O_RDONLY))\nescaped()",
        "root",
    ),
    outward(
        "host_files",
        "open shared memory of the host",
        _READ.format(path="world['shared']"),
    ),
    outward(
        "host_files",
        "find the secret by walking everything",
        "for folder, inner, names in os.walk('/'):\n"
        "    if folder in ('/proc', '/sys', '/usr', '/opt', '/root/.pyenv'): inner.clear()\n"
        "    if os.path.join(folder, 'key') == world['secret']: escaped(folder)",
        "",
    ),
]

HOST_NAMES = [
    outward("host_names", "see that a file exists", "os.stat(world['secret'])\nescaped()"),
    outward(
        "host_names",
        "learn a file's size",
        "if os.path.getsize(world['secret']) == world['size']: escaped()",
    ),
    outward("host_names", "list a folder of the host", "os.listdir(world['open'])\nescaped()"),
    outward(
        "host_names",
        "enter a folder of the host",
        "os.chdir(world['open'])\nescaped()",
    ),
    outward(
        "host_names",
        "see who has a home",
        "if os.path.isdir('/home') or os.path.exists('/etc/passwd'): escaped()",
    ),
]

SECRETS = [
    outward(
        "secrets",
        "read the environment",
        "if 'DRYAD_TEST_SECRET' in os.environ: escaped()\n"
        "print(os.environ, open('/proc/self/environ').read())",
    ),
    outward(
        "secrets",
        "read the environment of everybody",
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: text = open(f'/proc/{pid}/environ').read()\n"
        "    except OSError as e: print(e); continue\n"
        "    print(text)\n"
        "    if 'DRYAD_TEST_SECRET' in text or 'NEIGHBOUR' in text: escaped(pid)",
    ),
    outward(
        "secrets",
        "read the environment of process 1",
        "print(open('/proc/1/environ').read())\nescaped()",
        "",
    ),
    outward(
        "secrets",
        "use an inherited descriptor",
        "for fd in range(3, 4096):\n"
        "    try: print(os.pread(fd, 100, 0)); escaped(fd)\n"
        "    except OSError as e:\n"
        "        if e.errno != errno.EBADF: escaped(fd, e)",
    ),
    outward(
        "secrets",
        "read the supervisor's input",
        "data = sys.stdin.buffer.read()\nif data: escaped(data)",
        "",
    ),
    outward(
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
