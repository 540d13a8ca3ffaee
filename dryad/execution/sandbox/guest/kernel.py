"""The kernel calls a sandbox is made of, which the standard library does not have."""

import ctypes
import fcntl
import os

CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

_ARM = os.uname().machine in {"aarch64", "arm64"}
_PIVOT_ROOT, _CAPSET, _SECCOMP = (41, 91, 277) if _ARM else (155, 126, 317)
_MOUNT_SETATTR = 442
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

_AT_FDCWD, _AT_RECURSIVE, _MNT_DETACH = -100, 0x8000, 2
_READ_ONLY, _NO_SUID, _NO_DEVICES = 0x1, 0x2, 0x4
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PR_SET_CHILD_SUBREAPER, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 36, 47, 4
_CAPABILITY_VERSION = 0x20080522
_FILTER, _NEW_LISTENER = 1, 8
_NOTE_RECEIVE, _NOTE_SEND, _NOTE_BYTES = 0xC0502100, 0xC0182101, 80
_EPERM = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Attach `source` at `target`, as the system call of that name does."""
    values = (os.fsencode(source), os.fsencode(target), kind.encode() or None)
    data = options.encode() or None
    _check(_libc.mount(*values, ctypes.c_ulong(flags), data), f"mount {target}")


def detach(target: str) -> None:
    """Take the mount at `target` and all below it out of sight."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def pivot_root(root: str, old: str) -> None:
    """Make the mount at `root` the root, and put the present one at `old`."""
    _check(_libc.syscall(_PIVOT_ROOT, os.fsencode(root), os.fsencode(old)), "pivot_root")


def make_read_only(target: str, *, below: bool) -> None:
    """Forbid writing, devices and set-user-id programs on the mount `target`, and those below."""
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY | _NO_SUID | _NO_DEVICES, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    path = os.fsencode(target)
    flags = _AT_RECURSIVE if below else 0
    result = _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path, flags, ctypes.byref(attributes), size)
    _check(result, f"mount_setattr {target}")


def drop_privileges(become: int | None) -> None:
    """Keep no capability, become user and group `become` if given, and be closed to tracing."""
    if become is not None:
        os.setgroups([])
        os.setresgid(become, become, become)
        os.setresuid(become, become, become)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    _check(_libc.syscall(_CAPSET, ctypes.byref(header), ctypes.byref(none)), "capset")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def install_filter(program: bytes, *, listen: bool) -> int:
    """Filter the system calls of this process and its children for ever.

    Returns:
        A descriptor on which refusals are reported, or -1 when not listening.
    """
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_uint16), ("code", ctypes.c_void_p))

    whole = Program(len(program) // 8, ctypes.addressof(code))
    flags = _NEW_LISTENER if listen else 0
    result = _check(_libc.syscall(_SECCOMP, _FILTER, flags, ctypes.byref(whole)), "seccomp")
    return result if listen else -1


def refuse_one(listener: int) -> int:
    """Answer one reported system call with `EPERM`; return its number."""
    note = bytearray(_NOTE_BYTES)
    fcntl.ioctl(listener, _NOTE_RECEIVE, note)
    number = int.from_bytes(note[16:20], "little", signed=True)
    answer = bytes(note[:8]) + bytes(8) + (-_EPERM).to_bytes(4, "little", signed=True) + bytes(4)
    fcntl.ioctl(listener, _NOTE_SEND, bytearray(answer))
    return number


def landlock_version() -> int:
    """Return the version of Landlock this kernel speaks, 0 when none."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


def fence(readable: list[str], writable: list[str]) -> None:
    """Confine this process to files below the given paths, by Landlock as far as it reaches.

    Where the kernel's version can, TCP, signals and abstract sockets outward are cut off as well.
    """
    version = landlock_version()
    files = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    attributes = (ctypes.c_uint64 * 3)(files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = ctypes.c_size_t(8 * (1 + (version >= 4) + (version >= 6)))
    rules = _check(
        _libc.syscall(_LANDLOCK_CREATE, ctypes.byref(attributes), size, 0),
        "landlock_create_ruleset",
    )
    for path in readable:
        _allow(rules, path, 0b1101)
    for path in writable:
        _allow(rules, path, files)
    _check(_libc.syscall(_LANDLOCK_RESTRICT, rules, 0), "landlock_restrict_self")
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):
        rights &= 0b110 | 1 | 1 << 14 | 1 << 15
    rule = rights.to_bytes(8, "little") + place.to_bytes(4, "little")
    _check(_libc.syscall(_LANDLOCK_ADD, rules, 1, rule, 0), f"landlock_add_rule {path}")
    os.close(place)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
