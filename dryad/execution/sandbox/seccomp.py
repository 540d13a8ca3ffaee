"""The system call filter of a sandbox: what code inside may ask the kernel for.

An allow-list. What is not on it does not exist (`ENOSYS`, so that C libraries fall back to older
calls). What only an escape would try is answered `EPERM` and reported, so that a run's violations
can name it. The filter is a classic BPF program, built outside, installed inside before `exec`.
"""

import errno
import platform
import struct
from functools import cache
from typing import Final, NamedTuple

from dryad.execution.sandbox.syscalls import architecture
from dryad.foundation.errors import Unavailable

_ALLOW: Final = 0x7FFF0000
_REPORT: Final = 0x7FC00000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16

ALLOWED: Final = """
accept accept4 access alarm arch_prctl bind brk capget chdir chmod chown clock_getres clock_gettime
clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown
fchownat fdatasync fgetxattr flistxattr flock fork fstat fstatfs fsync ftruncate futex futex_waitv
futimesat get_robust_list getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups
getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid
getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr kill lchown
lgetxattr link linkat listen listxattr llistxattr lseek lstat madvise membarrier mincore mkdir
mkdirat mlock mlock2 mprotect mremap msync munlock munmap nanosleep newfstatat open openat openat2
pause pidfd_open pidfd_send_signal pipe pipe2 poll ppoll prctl pread64 preadv preadv2 prlimit64
pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg
recvmsg rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler
sched_yield select sendfile sendmmsg sendmsg sendto set_robust_list set_tid_address setitimer
setpgid setpriority setrlimit setsid shutdown sigaltstack signalfd signalfd4 splice stat statfs
statx symlink symlinkat sync_file_range sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork wait4 waitid write writev
"""

QUIET: Final = """
capset fremovexattr fsetxattr lremovexattr lsetxattr memfd_create removexattr setfsgid setfsuid
setgid setgroups setregid setresgid setresuid setreuid setuid setxattr shmctl shmdt
"""
"""Refused without a word: libraries try these and go on. A `memfd` would be memory nobody sees."""

REPORTED: Final = """
acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init
finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register
io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie memfd_secret
migrate_pages modify_ldt mount mount_setattr move_mount move_pages mq_open msgctl msgget msgrcv
msgsnd name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd
pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl reboot request_key
semctl semget semop semtimedop setdomainname sethostname setns settimeofday shmat shmget swapoff
swapon syslog umount2 unshare userfaultfd vhangup vmsplice
"""
"""Only an escape, or memory outside every bound, would need these."""


CROWDED_FILES: Final = """
chmod chown fchmod fchmodat fchmodat2 fchown fchownat futimesat lchown setpriority utime utimensat
utimes
"""
"""Landlock does not stop these; where the host's files are within reach, they fail."""

CROWDED_PROCESSES: Final = "sched_setaffinity sched_setparam sched_setscheduler"
"""Allowed upon oneself alone where other processes are within reach, as is `prlimit64`."""


class _Match(NamedTuple):
    """Holds when the low 32 bits of an argument, masked, equal a value."""

    argument: int
    mask: int
    value: int


class _Rule(NamedTuple):
    """What a call gets when any of its matches holds, and what otherwise."""

    matches: tuple[_Match, ...]
    then: int
    otherwise: int


_ALL = 0xFFFFFFFF
_AF_UNIX = 1
_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
_SHARED_ANONYMOUS = 0x21
_FILE_KIND, _CHARACTER_DEVICE, _BLOCK_DEVICE = 0o170000, 0o020000, 0o060000
_F_SETPIPE_SZ = 1031
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_BUFFER_SIZES = (7, 8, 32, 33)
_REFUSE = _ERRNO | errno.EPERM
_UNKNOWN = _ERRNO | errno.ENOSYS


def _devices(argument: int) -> _Rule:
    kinds = (_CHARACTER_DEVICE, _BLOCK_DEVICE)
    return _Rule(tuple(_Match(argument, _FILE_KIND, kind) for kind in kinds), _REPORT, _ALLOW)


def _rules(*, crowded: bool) -> dict[str, _Rule]:
    local = (_Match(0, _ALL, _AF_UNIX),)
    rules = {
        "clone": _Rule(tuple(_Match(0, bit, bit) for bit in _NAMESPACES), _REPORT, _ALLOW),
        "socket": _Rule(local, _REFUSE if crowded else _ALLOW, _REPORT),
        "socketpair": _Rule(local, _ALLOW, _REPORT),
        # A shared anonymous mapping keeps its pages after it shrank: memory no process shows.
        "mmap": _Rule((_Match(3, _SHARED_ANONYMOUS, _SHARED_ANONYMOUS),), _REFUSE, _ALLOW),
        "mknod": _devices(1),
        "mknodat": _devices(2),
        "personality": _Rule((_Match(0, _ALL, 0), _Match(0, _ALL, _ALL)), _ALLOW, _REPORT),
        "fcntl": _Rule((_Match(1, _ALL, _F_SETPIPE_SZ),), _REFUSE, _ALLOW),
        "ioctl": _Rule((_Match(1, _ALL, _TIOCSTI), _Match(1, _ALL, _TIOCLINUX)), _REPORT, _ALLOW),
        "setsockopt": _Rule(
            tuple(_Match(2, _ALL, option) for option in _BUFFER_SIZES), _REFUSE, _ALLOW
        ),
    }
    if crowded:
        oneself = _Rule((_Match(0, _ALL, 0),), _ALLOW, _REPORT)
        rules |= dict.fromkeys(("prlimit64", *CROWDED_PROCESSES.split()), oneself)
    return rules


@cache
def program(*, reporting: bool = True, crowded: bool = False, machine: str = "") -> bytes:
    """Return the filter as an array of `struct sock_filter`.

    Args:
        reporting: Whether a listener will answer refusals worth a report; else they fail quietly.
        crowded: Whether the run sees this machine's files and processes: then sockets, changing
            modes, owners and times of files, and touching another process fail as well.
        machine: As `uname -m` says; default this machine.

    Raises:
        Unavailable: there is no table for the machine.
    """
    known = architecture(machine or platform.machine())
    if known is None:
        raise Unavailable(f"no system call table for {machine or platform.machine()}")
    report = _REPORT if reporting else _REFUSE
    code = [
        _step(_LOAD, _ARCH_AT),
        _step(_EQUAL, known.token, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
    ]
    if known.foreign_from is not None:
        code += [_step(_AT_LEAST, known.foreign_from, 0, 1), _step(_RETURN, _UNKNOWN)]
    plain = dict.fromkeys(ALLOWED.split(), _ALLOW) | dict.fromkeys(QUIET.split(), _REFUSE)
    if crowded:
        plain |= dict.fromkeys(CROWDED_FILES.split(), _REFUSE)
    plain |= dict.fromkeys(REPORTED.split(), report)
    for name, rule in _rules(crowded=crowded).items():
        if name in known.numbers:
            code += _conditional(known.numbers[name], rule, report)
    for name, verdict in plain.items():
        if name in known.numbers:
            code += [_step(_EQUAL, known.numbers[name], 0, 1), _step(_RETURN, verdict)]
    return b"".join([*code, _step(_RETURN, _UNKNOWN)])


@cache
def names(machine: str = "") -> dict[int, str]:
    """Return the name of each system call number of a machine."""
    known = architecture(machine or platform.machine())
    return {number: name for name, number in known.numbers.items()} if known else {}


def _conditional(number: int, rule: _Rule, report: int) -> list[bytes]:
    then, otherwise = (report if verdict == _REPORT else verdict for verdict in rule[1:])
    block: list[bytes] = []
    for argument, mask, value in rule.matches:
        block += [
            _step(_LOAD, _ARGUMENTS_AT + 8 * argument),
            _step(_AND, mask),
            _step(_EQUAL, value, 0, 1),
            _step(_RETURN, then),
        ]
    block.append(_step(_RETURN, otherwise))
    return [_step(_EQUAL, number, 0, len(block)), *block]


def _step(operation: int, value: int, when: int = 0, unless: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, when, unless, value)
