"""The files of a log directory: appended by many processes, rotated by one, read by any.

A line is one `write` to a file opened for appending, so lines of several processes never mix.
Rotation renames; a writer notices that the name means another file and opens that. Nothing is
lost in between: what was written under the old name is in the renamed file.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

APP = "gremlins_app.log"
ERRORS = "gremlins_errors.log"
ACCESS = "gremlins_access.log"
FILES = (APP, ERRORS, ACCESS)

_LOCK = ".rotate.lock"
_LOOK_SECONDS = 0.05
"""For so long a writer may go on writing to a file that was renamed meanwhile."""


class Appender:
    """One log file as one process writes it; threads and forked children may share it."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._file = _open(self._path)
        self._identity = _identity(os.fstat(self._file))
        self._look_again = 0.0

    def append(self, line: bytes) -> None:
        """Add one whole line.

        Raises:
            OSError: the disk is full, or the directory is gone.
        """
        now = time.monotonic()
        if now >= self._look_again:  # looking costs as much as writing
            if not self._has_the_name():
                self._follow()
            self._look_again = now + _LOOK_SECONDS
        if os.write(self._file, line) < len(line):
            raise OSError(f"only a part of a line fits into {self._path}")

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)

    def _has_the_name(self) -> bool:
        try:
            return _identity(Path(self._path).stat()) == self._identity
        except FileNotFoundError:
            return False

    def _follow(self) -> None:
        """Put the file that has the name now in the place of the old one, in a single step.

        Another thread may be about to write to the number: it writes to the old file or to the
        new one, never to none.
        """
        fresh = _open(self._path)
        self._identity = _identity(os.fstat(fresh))
        os.dup2(fresh, self._file, inheritable=False)
        os.close(fresh)


def rotate(directory: Path, max_bytes: int, keep: int) -> list[Path]:
    """Rename every log of at least `max_bytes` to `<name>.1`, and what was `.1` to `.2`, ….

    Args:
        directory: Where the logs are.
        max_bytes: The size from which a log is rotated, > 0.
        keep: How many renamed files of each log stay, ≥ 1; older ones are deleted.

    Returns:
        The logs that were rotated.
    """
    with _locked(directory, fcntl.LOCK_EX):
        due = [path for name in FILES if _size(path := directory / name) >= max_bytes]
        for path in due:
            for number, rotated in reversed(_rotated(path)):
                if number >= keep:
                    rotated.unlink()
                else:
                    rotated.replace(_numbered(path, number + 1))
            path.replace(_numbered(path, 1))
        return due


def open_all(directory: Path, name: str) -> list[int]:
    """Open one log and its rotated files as they are at one moment, newest first.

    The caller closes the file descriptors; a rotation meanwhile does not disturb them.
    """
    if not directory.is_dir():
        return []
    opened: list[int] = []
    with _locked(directory, fcntl.LOCK_SH):
        path = directory / name
        for one in (path, *(rotated for _, rotated in _rotated(path))):
            with suppress(FileNotFoundError):
                opened.append(os.open(one, os.O_RDONLY | os.O_CLOEXEC))
    return opened


@contextmanager
def _locked(directory: Path, how: int) -> Generator[None]:
    handle = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _rotated(path: Path) -> list[tuple[int, Path]]:
    """Return the renamed files of a log with their numbers, newest first."""
    named = path.parent.glob(f"{path.name}.*")
    return sorted((int(one.suffix[1:]), one) for one in named if one.suffix[1:].isdigit())


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
