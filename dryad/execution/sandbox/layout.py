"""What a sandboxed run sees of this machine: programs, libraries, this Python; nothing else."""

import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

from dryad.execution.sandbox.guest import kernel
from dryad.execution.sandbox.orders import Fence

BOX = "/box"
"""The run's own directory, inside."""

_SYSTEM = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec")
_SHARED = ("/usr/share/zoneinfo", "/usr/share/locale", "/usr/share/misc", "/usr/share/perl")
_TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
_DEVICES = ("null", "full", "random", "urandom")
_ENVIRONMENT, _LIBRARIES = "/opt/python", "/opt/libraries"


class Layout(NamedTuple):
    """Everything there is inside, as data that each rung turns into mounts or rules."""

    binds: list[tuple[str, str]]
    """Host path and path inside, read-only, outer before inner."""
    devices: list[tuple[str, str]]
    links: list[tuple[str, str]]
    """Path inside, and its goal."""
    folders: list[str]
    python: str
    """The interpreter of Python code, inside."""
    libraries: str
    """Where it finds packages beyond its own, inside, or ''."""


@cache
def layout() -> Layout:
    """Return what is shown inside; the same for every run of this process."""
    binds, links = system()
    packages = str(Path(sysconfig.get_path("purelib")).resolve())
    python, libraries = guest_python(), ""
    if sys.prefix != sys.base_prefix:
        # The same virtual environment, elsewhere: what else lies beside it stays out of sight.
        python = f"{_ENVIRONMENT}/bin/python"
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        binds.append((f"{sys.prefix}/pyvenv.cfg", f"{_ENVIRONMENT}/pyvenv.cfg"))
        binds.append((packages, f"{_ENVIRONMENT}/lib/{version}/site-packages"))
        links += [(python, guest_python()), (f"{_ENVIRONMENT}/bin/python3", "python")]
    elif not _within(packages, binds):
        libraries = _LIBRARIES
        binds.append((packages, libraries))
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
    return Layout(binds, devices, links, [BOX], python, libraries)


def system() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return binds and links of programs, system libraries and the bare interpreter."""
    binds = [(path, path) for path in (*_SYSTEM, *_SHARED) if Path(path).is_dir()]
    links: list[tuple[str, str]] = []
    for top in _TOP:
        path = Path(top)
        if path.is_symlink():
            links.append((top, str(path.readlink())))
        elif path.is_dir():
            binds.append((top, top))
    binds += [(path, path) for path in _CONFIGURATION if Path(path).exists()]
    for path in _interpreter():
        if not _within(path, binds):
            binds.append((path, path))
    return binds, links


def environment(box: str, python: str, libraries: str) -> dict[str, str]:
    """Return the whole environment of a run whose own directory is `box`."""
    folders = [str(Path(python).parent), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    variables = {
        "PATH": ":".join(dict.fromkeys(folders)),
        "HOME": f"{box}/work",
        "TMPDIR": f"{box}/tmp",  # noqa: S108 - inside the sandbox
        "USER": "sandbox",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        # One thread each: a run has a bound of threads and memory, and neighbours.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    return variables | ({"PYTHONPATH": libraries} if libraries else {})


def fence() -> Fence | None:
    """Return what a run may read and write inside, for Landlock; None where there is none.

    On rungs with a mount namespace this is a second wall behind the first.
    """
    if not kernel.landlock_version():
        return None
    return {"read": ["/"], "write": [BOX, "/dev/null", "/dev/full", "/dev/zero"]}


def guest_python() -> str:
    """Return the path of this process's interpreter, outside any virtual environment."""
    return cast("str", getattr(sys, "_base_executable", None) or sys.executable)


def _interpreter() -> list[str]:
    """Return the folders of the interpreter and its standard library, by every name they have."""
    found = [sys.base_prefix, str(Path(guest_python()).parent.parent)]
    found.append(str(Path(guest_python()).resolve().parent.parent))
    folders: list[str] = []
    for prefix in dict.fromkeys(found):
        if prefix == "/usr/local":
            folders += [
                path for path in ("/usr/local/bin", "/usr/local/lib") if Path(path).is_dir()
            ]
        elif prefix not in {"/usr", "/"}:
            folders.append(prefix)
    return folders


def _within(path: str, binds: list[tuple[str, str]]) -> bool:
    return any(source == target and f"{path}/".startswith(f"{source}/") for source, target in binds)


def reachable_by_others(path: str) -> bool:
    """Whether a user without any right of ours can read `path`."""
    here = Path(path)
    if not here.stat().st_mode & 0o004:
        return False
    return all(parent.stat().st_mode & 0o001 for parent in here.parents)
