"""The kernel calls a sandbox is made of, which the standard library does not have.

They go through `_ctypes`, the C half of `ctypes`: the Python half would cost every run a third of
an interpreter's start.
"""

import _ctypes
import fcntl
import os

CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 0x2, 0x4, 0x8, 0x20
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

_NUMBERS = {  # x86-64, arm64
    "capset": (126, 91),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "sethostname": (170, 161),
    "umount2": (166, 39),
    "unshare": (272, 97),
}
_COLUMN = int(os.uname().machine in {"aarch64", "arm64"})

_AT_FDCWD, _AT_RECURSIVE, _MNT_DETACH = -100, 0x8000, 2
_READ_ONLY, _NO_SUID, _NO_DEVICES = 0x1, 0x2, 0x4
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PR_SET_CHILD_SUBREAPER, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 36, 47, 4
_CAPABILITY_VERSION = 0x20080522
_FILTER, _NEW_LISTENER = 1, 8
_NOTE_RECEIVE, _NOTE_SEND, _NOTE_BYTES = 0xC0502100, 0xC0182101, 80
_EPERM = 1


class _Long(_ctypes._SimpleCData):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportMissingTypeArgument]
    _type_ = "l"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Long


_libc = _ctypes.dlopen(None, 2)  # pyright: ignore[reportArgumentType] - None is this program
_syscall = _Function(_ctypes.dlsym(_libc, "syscall"))


def call(name: str, *arguments: int | bytes | None) -> int:
    """Make one system call: numbers as longs, bytes as a pointer to them, None as no pointer.

    Raises:
        OSError: the kernel refuses; the message names the call.
    """
    values = [_Long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_syscall(_Long(_NUMBERS[name][_COLUMN]), *values))
    if result < 0:
        number = _ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Attach `source` at `target`, as the system call of that name does."""
    where = (os.fsencode(source), os.fsencode(target))
    call("mount", *where, kind.encode() or None, flags, options.encode() or None)


def detach(target: str) -> None:
    """Take the mount at `target` and all below it out of sight."""
    call("umount2", os.fsencode(target), _MNT_DETACH)


def make_read_only(target: str, *, below: bool) -> None:
    """Forbid writing, devices and set-user-id programs on the mount `target`, and those below."""
    attributes = _words(_READ_ONLY | _NO_SUID | _NO_DEVICES, 0, 0, 0)
    flags = _AT_RECURSIVE if below else 0
    path = os.fsencode(target)
    call("mount_setattr", _AT_FDCWD, path, flags, attributes, len(attributes))


def drop_privileges(become: int | None) -> None:
    """Keep no capability, become user and group `become` if given, and be closed to tracing."""
    if become is not None:
        os.setgroups([])
        os.setresgid(become, become, become)
        os.setresuid(become, become, become)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    call("capset", _CAPABILITY_VERSION.to_bytes(8, "little"), bytes(24))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def offer_to_die(badness: int) -> None:
    """Ask the kernel to end this process first when memory runs out; 1000 is the most."""
    _prctl(_PR_SET_DUMPABLE, 1)
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
            score.write(str(badness))
    except OSError:
        pass  # without /proc, or with a worse score already: the bounds hold all the same
    _prctl(_PR_SET_DUMPABLE, 0)


def install_filter(program: bytes, *, listen: bool) -> int:
    """Filter the system calls of this process and its children for ever.

    Returns:
        A descriptor on which refusals are reported, or -1 when not listening.
    """
    # The kernel wants a structure that points to the program: it needs a place that stays.
    place = int(_Function(_ctypes.dlsym(_libc, "malloc"))(_Long(len(program))))
    _Function(_ctypes.dlsym(_libc, "memcpy"))(_Long(place), program, _Long(len(program)))
    whole = _words(len(program) // 8, place)
    result = call("seccomp", _FILTER, _NEW_LISTENER if listen else 0, whole)
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
    try:
        return call("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


def fence(readable: list[str], writable: list[str]) -> None:
    """Confine this process to files below the given paths, by Landlock as far as it reaches.

    Where the kernel's version can, TCP, signals and abstract sockets outward are cut off as well.
    """
    version = landlock_version()
    files = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    attributes = _words(files, 3, 3)[: 8 * (1 + (version >= 4) + (version >= 6))]
    rules = call("landlock_create_ruleset", attributes, len(attributes), 0)
    for path in readable:
        _allow(rules, path, 0b1101)
    for path in writable:
        _allow(rules, path, files)
    call("landlock_restrict_self", rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):
        rights &= 0b111 | 1 << 14 | 1 << 15
    rule = rights.to_bytes(8, "little") + place.to_bytes(4, "little")
    call("landlock_add_rule", rules, 1, rule, 0)
    os.close(place)


def _prctl(option: int, value: int) -> None:
    call("prctl", option, value, 0, 0, 0)


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)
