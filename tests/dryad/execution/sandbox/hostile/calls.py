"""Attacks on the kernel: calls that only an escape would need."""

import platform

from dryad.execution.sandbox import seccomp
from dryad.execution.sandbox.port import SandboxResult
from tests.dryad.execution.sandbox.hostile.attack import Attack

_NUMBERS = {name: number for number, name in seccomp.names().items()}

_TRIED = """\
libc.syscall.restype = ctypes.c_long
def tried(name, *call):
    result = libc.syscall(*call)
    if result >= 0: escaped(name, result)
    print(name, errno.errorcode[ctypes.get_errno()])
"""

_CALLS = {
    # name: arguments; each fails with another error, or works, where nothing stops it
    "enter or make a namespace": {
        "unshare": "0x10000000",
        "clone": "0x10000000 | 17, 0, 0, 0, 0",
        "setns": "os.open('/proc/self/ns/user', 0) if os.path.exists('/proc/self/ns') else 0, 0",
    },
    "mount and change the root": {
        "mount": "b'none', b'/', None, 0x1000, None",
        "umount2": "b'/proc', 2",
        "pivot_root": "b'/', b'/'",
        "chroot": "b'/'",
        "move_mount": "-100, b'/', -100, b'/', 0",
        "open_tree": "-100, b'/', 1",
        "fsopen": "b'tmpfs', 0",
        "mount_setattr": "-100, b'/', 0, bytes(32), 32",
    },
    "trace and reach into a process": {
        "ptrace": "0, 0, 0, 0",
        "process_vm_readv": "1, None, 0, None, 0, 0",
        "process_vm_writev": "1, None, 0, None, 0, 0",
        "process_madvise": "0, None, 0, 0, 0",
        "kcmp": "1, 1, 0, 0, 0",
        "pidfd_getfd": "0, 0, 0",
        "perf_event_open": "bytes(112), 0, -1, -1, 0",
    },
    "use what escapes begin with": {
        "bpf": "0, bytes(64), 64",
        "io_uring_setup": "1, ctypes.create_string_buffer(256)",
        "userfaultfd": "1",
        "memfd_secret": "0",
        "vmsplice": "1, None, 0, 0",
        "personality": "0x0040000",
        "name_to_handle_at": "-100, b'/', ctypes.create_string_buffer(256), "
        "ctypes.create_string_buffer(8), 0",
        "open_by_handle_at": "3, bytes(128), 0",
    },
    "reach the key rings": {
        "keyctl": "0, -3, 1",
        "add_key": "b'user', b'k', b'v', 1, -3",
        "request_key": "b'user', b'k', None, -3",
    },
    "change the machine": {
        "init_module": "None, 0, b''",
        "finit_module": "-1, b'', 0",
        "delete_module": "b'no-such-module', 0",
        "kexec_load": "0, 0, None, 0",
        "reboot": "0, 0, 0, None",
        "swapon": "b'/no/such/file', 0",
        "acct": "b'/no/such/file'",
        "sethostname": "b'owned', 5",
        "settimeofday": "bytes(16), None",
        "clock_settime": "0, bytes(16)",
        "syslog": "10, None, 0",
        "quotactl": "0, None, 0, None",
        "fanotify_init": "0, 0",
        "iopl": "3",
        "ioperm": "0x378, 1, 1",
    },
    "share memory by other means": {
        "shmget": "0, 4096, 0o1600",
        "semget": "0, 1, 0o1600",
        "msgget": "0, 0o1600",
        "mq_open": "b'q', 0o101, 0o600, None",
    },
}


def _call(name: str, number: int, arguments: str) -> str:
    return f"tried({name!r}, {number}, {arguments})\n"


def _attack(what: str, calls: dict[str, str]) -> Attack:
    """Make every call of a group; each must be refused, and the run must say that some were."""
    known = {name: given for name, given in calls.items() if name in _NUMBERS}

    def refused(result: SandboxResult) -> None:
        told = result.stdout.splitlines()
        assert told == [f"{name} EPERM" for name in known], result
        # An engine's own filter may answer before ours can report.
        assert "kernel" in result.violations or result.rung == "docker", result

    lines = [_call(name, _NUMBERS[name], given) for name, given in known.items()]
    return Attack(name=what, guarantee="kernel", code=_TRIED + "".join(lines), check=refused)


_NEW_USER_SPACE = "(0x10000000).to_bytes(8, 'little') + bytes(80), 88"
_CAPABILITIES = f"""\
data, header = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 2)(0x20080522, 0)
libc.syscall({_NUMBERS["capget"]}, header, data)
if any(data): escaped(list(data))
"""


def _ended_or_refused(result: SandboxResult) -> None:
    # The watcher counts what it cannot look into twice; the kernel may be there before it.
    assert "memory" in result.violations or "MemoryError" in result.stderr, result


_FOREIGN = """\
import mmap
page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
page.write(bytes.fromhex('{code}'))
place = ctypes.addressof(ctypes.c_char.from_buffer(page))
number = ctypes.CFUNCTYPE(ctypes.c_int)(place)()
if number > 0: escaped(number)
"""

KERNEL = [
    *(_attack(what, calls) for what, calls in _CALLS.items()),
    Attack(
        name="clone3 into new namespaces",
        guarantee="kernel",
        code=_TRIED + _call("clone3", 435, _NEW_USER_SPACE),
    ),
    Attack(
        name="a call nobody has heard of",
        guarantee="kernel",
        code=_TRIED + _call("nobody's", 1023, "0"),
    ),
    Attack(
        name="run a program that changes the user",
        guarantee="kernel",
        code=(
            "for name in ('su', 'mount', 'passwd', 'newgrp'):\n"
            "    path = f'/usr/bin/{name}'\n"
            "    if os.path.exists(path): os.stat(path)\n"
            "out = subprocess.run(['sh', '-c', 'grep NoNewPrivs /proc/self/status'],\n"
            "    capture_output=True, text=True).stdout\n"
            "if out and out.split() != ['NoNewPrivs:', '1']: escaped(out)"
        ),
    ),
    Attack(
        name="keep a capability",
        guarantee="kernel",
        code=_CAPABILITIES,
        outside="root",
    ),
    Attack(
        name="become the superuser",
        guarantee="kernel",
        code=(
            "for call in (os.setuid, os.setgid, os.seteuid):\n"
            "    try: call(0)\n"
            "    except OSError as e: print(e)\n" + _CAPABILITIES
        ),
        outside="root",
    ),
    Attack(
        name="take the filter off",
        guarantee="kernel",
        code=(
            "libc.prctl(22, 0, 0, 0, 0)\nlibc.prctl(38, 0, 0, 0, 0)\n"
            f"if libc.syscall({_NUMBERS['unshare']}, 0x10000000) == 0: escaped()"
        ),
    ),
    Attack(
        name="be undebuggable and unwatched",
        guarantee="memory",
        code="libc.prctl(4, 0, 0, 0, 0)\nblock = b'x' * 90_000_000\n"
        "child = os.fork()\n"
        "if child == 0: more = b'y' * 90_000_000; time.sleep(4); os._exit(0)\n"
        "if os.waitpid(child, 0)[1] == 0: escaped()",
        check=_ended_or_refused,
    ),
]

if platform.machine() == "x86_64":
    KERNEL += [
        # mov eax, 20 (getpid by the 32-bit table); int 0x80; ret
        Attack(
            name="call by the 32-bit gate",
            guarantee="kernel",
            code=_FOREIGN.format(code="b814000000cd80c3"),
            outside="anyone",
        ),
        # mov eax, 0x40000027 (getpid by the x32 table); syscall; ret
        Attack(
            name="call by the x32 table",
            guarantee="kernel",
            code=_FOREIGN.format(code="b8270000400f05c3"),
        ),
    ]
