"""Files of one task, inside one directory and nowhere else."""

import contextlib
import errno
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from dryad.foundation.errors import InvalidRequest, LimitExceeded, Refused, Unavailable

MAX_FILE_BYTES = 1_000_000
"""Largest file an agent may write."""

_MAX_PARTS = 8


class Written(NamedTuple):
    """A file as it is now."""

    path: str
    size_bytes: int
    sha256: str


def write(directory: Path, name: str, content: bytes) -> Written:
    """Write a file below `directory`, whole or not at all; the same again changes nothing.

    Links are never followed, whoever made them: every folder is opened from the one above it.

    Args:
        directory: The task's own directory; made when it is not there.
        name: Relative, parts separated by `/`, at most 8.
        content: At most 1,000,000 bytes.

    Raises:
        InvalidRequest: the name is absolute, climbs, or is no file name.
        LimitExceeded: the content is too long.
        Refused: the name leads through a link or a file.
        Unavailable: the disk is full or the directory cannot be written.
    """
    parts = _parts(name)
    if len(content) > MAX_FILE_BYTES:
        raise LimitExceeded(f"a file may have {MAX_FILE_BYTES} bytes, got {len(content)}")
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


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    sound = all(
        part and part not in {".", ".."} and part.isprintable() and len(part.encode()) <= 200
        for part in parts
    )
    if not sound or "\\" in name or len(parts) > _MAX_PARTS or any(p[0] == "." for p in parts):
        raise InvalidRequest(f"{name[:200]!r} is no relative file name")
    return parts


def _enter(folder: int, part: str) -> int:
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
