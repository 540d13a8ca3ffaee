"""Files of one task, inside one directory and nowhere else."""

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from dryad.foundation.errors import (
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Refused,
    Unavailable,
)

MAX_FILE_BYTES = 1_000_000
"""Largest file an agent may write."""

MAX_READ_BYTES = 50_000_000
"""Largest file that is read whole."""

_MAX_LISTED = 1_000

_MAX_PARTS = 8


class Written(NamedTuple):
    """A file as it is now."""

    path: str
    size_bytes: int
    sha256: str


class Entry(NamedTuple):
    """A file that is there."""

    path: str
    size_bytes: int


def write(directory: Path, name: str, content: bytes, *, most: int = MAX_FILE_BYTES) -> Written:
    """Write a file below `directory`, whole or not at all; the same again changes nothing.

    Links are never followed, whoever made them: every folder is opened from the one above it.

    Args:
        directory: The task's own directory; made when it is not there.
        name: Relative, parts separated by `/`, at most 8.
        content: At most `most` bytes.
        most: The longest allowed, in bytes.

    Raises:
        InvalidRequest: the name is absolute, climbs, or is no file name.
        LimitExceeded: the content is too long.
        Refused: the name leads through a link or a file.
        Unavailable: the disk is full or the directory cannot be written.
    """
    parts = _parts(name)
    if len(content) > most:
        raise LimitExceeded(f"a file may have {most} bytes, got {len(content)}")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for part in parts[:-1]:
                folder = _enter(folder, part)
            _replace(folder, parts[-1], content)
        finally:
            os.close(folder)
    except (NotADirectoryError, IsADirectoryError) as error:
        raise Refused(f"{name[:200]!r} leads through a link or a file") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refused(f"{name[:200]!r} leads through a link") from error
        raise Unavailable(f"{name[:200]!r} cannot be written: {error.strerror}") from error
    return Written("/".join(parts), len(content), hashlib.sha256(content).hexdigest())


def read(directory: Path, name: str) -> bytes:
    """Return a file below `directory`; links are never followed.

    Raises:
        InvalidRequest: the name is absolute, climbs, or is no file name.
        NotFound: there is no such file.
        Refused: the name leads through a link, or to something that is no file.
        LimitExceeded: it is longer than 50,000,000 bytes.
    """
    parts = _parts(name)
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for part in parts[:-1]:
                folder = _enter(folder, part, make=False)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not hold us up
            descriptor = os.open(parts[-1], flags, dir_fd=folder)
        finally:
            os.close(folder)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Refused(f"{name[:200]!r} is no file")
            if status.st_size > MAX_READ_BYTES:
                raise LimitExceeded(f"a file of {status.st_size} bytes is not read whole")
            return file.read()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {name[:200]!r}", "List the files of the task.") from error
    except OSError as error:
        raise Refused(f"{name[:200]!r} leads through a link or a file") from error


def listing(directory: Path) -> list[Entry]:
    """Return the files below `directory` by name, at most 1,000; links are left out."""
    found: list[Entry] = []
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and not name.startswith("."):
                found.append(Entry(path.relative_to(directory).as_posix(), status.st_size))
        if len(found) >= _MAX_LISTED:
            break
    return found[:_MAX_LISTED]


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    sound = all(
        part and part not in {".", ".."} and part.isprintable() and len(part.encode()) <= 200
        for part in parts
    )
    if not sound or "\\" in name or len(parts) > _MAX_PARTS or any(p[0] == "." for p in parts):
        raise InvalidRequest(f"{name[:200]!r} is no relative file name")
    return parts


def _enter(folder: int, part: str, *, make: bool = True) -> int:
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=folder)
    inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    os.close(folder)
    return inner


def _replace(folder: int, name: str, content: bytes) -> None:
    """Write beside it, then rename: a reader sees the old file or the new one."""
    beside = f".{name}.partial"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(beside, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
