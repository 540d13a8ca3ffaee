"""Namespaces of our own, with nothing in sight but what is bound in."""

from __future__ import annotations

import os

from dryad.execution.sandbox.guest import kernel

TYPE_CHECKING = False  # importing `typing` would cost every run 5 ms
if TYPE_CHECKING:
    from dryad.execution.sandbox.orders import Room


_STAGE, _OLD = "/tmp", "/old"  # noqa: S108 - a place to mount over, nothing is written there
INSIDE_ID = 1000


def enter(room: Room) -> None:
    """Continue as the first process of new namespaces; the caller waits outside, then exits.

    Raises:
        OSError: the kernel refuses; the message names the step.
    """
    user, group = os.getuid(), os.getgid()
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC
    flags |= kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
    kernel.call("unshare", flags | (kernel.CLONE_NEWUSER if room["user_namespace"] else 0))
    if room["user_namespace"]:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{INSIDE_ID} {user} 1")
        _write("/proc/self/gid_map", f"{INSIDE_ID} {group} 1")
    child = os.fork()
    if child:
        os.close(0)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    _furnish(room)


def _furnish(room: Room) -> None:
    os.umask(0o022)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", _STAGE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    os.mkdir(_STAGE + _OLD)
    kernel.call("pivot_root", _STAGE.encode(), f"{_STAGE}{_OLD}".encode())
    os.chdir("/")
    for source, target in room["binds"]:
        _bind(source, target)
        kernel.make_read_only(target, below=True)
    for source, target in room["devices"]:
        _bind(source, target)
    for path in (*room["folders"], "/proc"):
        os.makedirs(path, exist_ok=True)
    for path, goal in room["links"]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(goal, path)
    private = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", "/proc", "proc", private)
    kernel.detach(_OLD)
    os.rmdir(_OLD)
    kernel.make_read_only("/", below=False)
    kernel.call("sethostname", b"sandbox", 7)


def _bind(source: str, target: str) -> None:
    if os.path.isdir(_OLD + source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o444))
    kernel.mount(_OLD + source, target, flags=kernel.MS_BIND | kernel.MS_REC)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, text.encode())
    os.close(descriptor)
