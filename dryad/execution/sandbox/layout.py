"""What a sandboxed run sees of this machine: programs, libraries, this Python; nothing else."""

import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import NamedTuple

BOX = "/box"
LIBRARIES = "/opt/libraries"

_SYSTEM = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec")
_SHARED = ("/usr/share/zoneinfo", "/usr/share/locale", "/usr/share/misc", "/usr/share/perl")
_TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
_DEVICES = ("null", "full", "random", "urandom")


class Layout(NamedTuple):
    """Everything there is inside, as data that each rung turns into mounts or rules."""

    binds: list[tuple[str, str]]
    """Host path and path inside, read-only, outer before inner."""
    devices: list[tuple[str, str]]
    links: list[tuple[str, str]]
    """Path inside, and its goal."""
    folders: list[str]
    python: str
    """The interpreter, inside."""


@cache
def layout() -> Layout:
    """Return what is shown inside; the same for every run of this process."""
    binds = [(path, path) for path in (*_SYSTEM, *_SHARED) if Path(path).is_dir()]
    links: list[tuple[str, str]] = []
    for top in _TOP:
        path = Path(top)
        if path.is_symlink():
            links.append((top, str(path.readlink())))
        elif path.is_dir():
            binds.append((top, top))
    binds += [(path, path) for path in _CONFIGURATION if Path(path).exists()]
    binds += [(path, path) for path in _interpreter() if not _within(path, binds)]
    libraries = libraries_folder()
    if not _within(libraries, binds):
        binds.append((libraries, LIBRARIES))
    # /dev/zero could be mapped shared, which is memory no process shows; /dev/full reads as zeros.
    devices = [(f"/dev/{name}", f"/dev/{name}") for name in _DEVICES]
    devices.append(("/dev/full", "/dev/zero"))
    links += [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/shm", f"{BOX}/shm"),  # noqa: S108 - a link inside the sandbox
        ("/tmp", f"{BOX}/tmp"),  # noqa: S108 - a link inside the sandbox
        ("/var/tmp", f"{BOX}/tmp"),  # noqa: S108 - a link inside the sandbox
    ]
    return Layout(binds, devices, links, [BOX], python())


def environment(box: str, libraries: str) -> dict[str, str]:
    """Return the whole environment of a run whose own directory is `box`."""
    folders = [
        str(Path(python()).parent),
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
        "/usr/sbin",
        "/sbin",
    ]
    return {
        "PATH": ":".join(dict.fromkeys(folders)),
        "HOME": f"{box}/work",
        "TMPDIR": f"{box}/tmp",  # noqa: S108 - inside the sandbox
        "USER": "sandbox",
        "LANG": "C.UTF-8",
        "PYTHONPATH": libraries,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        # One thread each: a run has a bound of threads and memory, and neighbours.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


def python() -> str:
    """Return the real path of this process's interpreter, outside any virtual environment."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return str(Path(base).resolve())


def libraries_folder() -> str:
    """Return the folder this process imports installed packages from."""
    return str(Path(sysconfig.get_path("purelib")).resolve())


def inside_libraries() -> str:
    """Return where that folder is, inside."""
    folder = libraries_folder()
    return folder if _within(folder, [(path, path) for path in _interpreter()]) else LIBRARIES


def _interpreter() -> list[str]:
    """Return the folders of the interpreter and its standard library."""
    prefix = Path(sys.base_prefix).resolve()
    if str(prefix) in {"/usr", "/"}:
        return []
    if str(prefix) == "/usr/local":
        return [path for path in ("/usr/local/bin", "/usr/local/lib") if Path(path).is_dir()]
    return [str(prefix)]


def _within(path: str, binds: list[tuple[str, str]]) -> bool:
    return any(source == target and f"{path}/".startswith(f"{source}/") for source, target in binds)


def reachable_by_others(path: str) -> bool:
    """Whether a user without any right of ours can read `path`."""
    here = Path(path)
    mode = here.stat().st_mode
    if not mode & 0o004:
        return False
    return all(parent.stat().st_mode & 0o001 for parent in here.parents)
