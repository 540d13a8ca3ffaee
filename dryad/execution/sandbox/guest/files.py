"""Put a run's files in; bring what it wrote back out."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False  # importing `typing` would cost every run 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_DEPTH = 16
_MAX_SEEN = 20_000


def place(folder: str, files: list[tuple[str, bytes]]) -> None:
    """Write `files`, by checked relative name, below `folder`."""
    for name, content in files:
        path = f"{folder}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.close(descriptor)


def remove(folder: str) -> None:
    """Delete `folder` and all below it, as far as allowed; the supervisor may be gone."""
    for path, folders, names in os.walk(folder, topdown=False):
        for name in (*names, *folders):
            if not _try(os.unlink, f"{path}/{name}"):
                _try(os.rmdir, f"{path}/{name}")
    _try(os.rmdir, folder)


def _try(action: Callable[[str], None], path: str) -> bool:
    try:
        action(path)
    except OSError:
        return False
    return True


class Harvest:
    """The regular files below a folder that are new or changed, within bounds.

    Symbolic links are never followed. No process of the run may be alive any more.
    """

    def __init__(self, known: dict[str, bytes], *, files: int, size: int) -> None:
        self.found: list[tuple[str, bytes]] = []
        self._known = known
        self._there: set[str] = set()
        self._files = files
        self._room = size
        self._seen = 0
        self._left_out: dict[str, list[str]] = {}

    def gather(self, folder: str) -> None:
        """Collect from `folder` and below, in the order of names."""
        self._walk(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), "", 1)

    def gone(self) -> list[str]:
        """Return the names that were put in and are gone; [] when not all could be looked at."""
        return [] if self._seen > _MAX_SEEN else sorted(self._known.keys() - self._there)

    def notes(self) -> list[str]:
        """Say in words what was left out, and why."""
        return [
            f"{len(names)} not returned, {why}: {', '.join(names[:3])}"
            for why, names in self._left_out.items()
        ]

    def _walk(self, folder: int, prefix: str, depth: int) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            for entry in entries:
                self._seen += 1
                if self._seen > _MAX_SEEN:
                    self._leave(prefix + entry.name, "too many to look at")
                    return
                self._consider(folder, entry, prefix + entry.name, depth)
        finally:
            os.close(folder)

    def _consider(self, folder: int, entry: os.DirEntry[str], name: str, depth: int) -> None:
        kind = entry.stat(follow_symlinks=False)
        if not _is_text(name):
            self._leave(ascii(name), "its name is no UTF-8")
        elif stat.S_ISDIR(kind.st_mode):
            if depth >= _MAX_DEPTH:
                self._leave(name, "nested too deep")
                return
            inner = _open(folder, entry.name, kind.st_mode, os.O_DIRECTORY)
            self._walk(inner, name + "/", depth + 1)
        elif not stat.S_ISREG(kind.st_mode):
            self._leave(name, "no regular file")
        else:
            self._take(folder, entry.name, name, kind)

    def _take(self, folder: int, last: str, name: str, kind: os.stat_result) -> None:
        known = self._known.get(name)
        self._there.add(name)
        if known is None and len(self.found) >= self._files:
            self._leave(name, "too many files")
        elif kind.st_size > self._room and (known is None or kind.st_size != len(known)):
            self._leave(name, f"too large ({kind.st_size} bytes)")
        else:
            content = _content(_open(folder, last, kind.st_mode, 0), kind.st_size)
            if content != known:
                self._room -= len(content)
                self.found.append((name, content))

    def _leave(self, name: str, why: str) -> None:
        self._left_out.setdefault(why, []).append(name[:120])


def _open(folder: int, name: str, mode: int, flags: int) -> int:
    if mode & 0o500 != 0o500:
        os.chmod(name, 0o700, dir_fd=folder)
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, dir_fd=folder)


def _content(descriptor: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := os.read(descriptor, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    os.close(descriptor)
    return b"".join(parts)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
