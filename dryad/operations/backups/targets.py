"""Where sets lie: a directory, or any address fsspec knows. What is not whole is never visible."""

import io
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Protocol, cast
from urllib.parse import urlsplit

from dryad.foundation.errors import DryadError, InvalidRequest, NotFound, Unavailable
from dryad.operations.backups.manifest import MANIFEST, SetId, is_set_id

_PARTIAL, _GOING = ".partial-", ".going-"
_BLOCK = 16 << 20
_BUFFER = 1 << 20


class Target(Protocol):
    """A place for sets. Every method raises `Unavailable` when the place does not answer."""

    name: str
    """As an operator wrote it, without a password."""

    def begin(self, set_id: SetId) -> None:
        """Make room for a set nobody sees yet."""
        ...

    def write(self, set_id: SetId, file: str) -> IO[bytes]:
        """Open a new file of a set that was begun; closing it puts it on the disk."""
        ...

    def publish(self, set_id: SetId, manifest: bytes) -> None:
        """Make the set visible, whole, in one step."""
        ...

    def abandon(self, set_id: SetId) -> None:
        """Take away a set that was begun; one that is gone is as good."""
        ...

    def sets(self) -> list[SetId]:
        """Return every visible set, oldest first."""
        ...

    def partial(self) -> list[SetId]:
        """Return what was begun and never published: a maker died, or is at work."""
        ...

    def open(self, set_id: SetId, file: str) -> IO[bytes]:
        """Open a file of a visible set; raises `NotFound` when it is missing."""
        ...

    def note(self, set_id: SetId, file: str, text: bytes) -> None:
        """Put a small file into a visible set, replacing one of that name."""
        ...

    def remove(self, set_id: SetId) -> None:
        """Remove a visible set; it is invisible before the first byte goes."""
        ...

    def free_bytes(self) -> int | None:
        """Return how much may be written; None: nobody knows."""
        ...


def open_target(address: str) -> Target:
    """Return the target of an address: a path, or `s3://bucket/folder` and the like.

    Raises:
        InvalidRequest: nothing installed here understands the address.
    """
    if "://" not in address or address.startswith("file://"):
        return DirectoryTarget(Path(address.removeprefix("file://")).expanduser().resolve())
    return RemoteTarget(address)


class DirectoryTarget:
    """Sets as directories, 0700, on a disk of this machine."""

    def __init__(self, directory: Path) -> None:
        self.name = str(directory)
        self._directory = directory

    def begin(self, set_id: SetId) -> None:
        """See `Target`."""
        with _told(self.name):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._directory / f"{_PARTIAL}{set_id}").mkdir(mode=0o700)

    def write(self, set_id: SetId, file: str) -> IO[bytes]:
        """See `Target`."""
        return _synced(self._directory / f"{_PARTIAL}{set_id}" / file)

    def publish(self, set_id: SetId, manifest: bytes) -> None:
        """See `Target`."""
        draft, final = self._directory / f"{_PARTIAL}{set_id}", self._directory / set_id
        with _told(self.name):
            with _synced(draft / MANIFEST) as stream:
                stream.write(manifest)
            sync_directory(draft)
            draft.rename(final)
            sync_directory(self._directory)

    def abandon(self, set_id: SetId) -> None:
        """See `Target`."""
        with _told(self.name), suppress(FileNotFoundError):
            shutil.rmtree(self._directory / f"{_PARTIAL}{set_id}")

    def sets(self) -> list[SetId]:
        """See `Target`."""
        return sorted(name for name in self._names() if is_set_id(name))

    def partial(self) -> list[SetId]:
        """See `Target`; what a removal left behind is removed on the way."""
        names = self._names()
        for name in names:
            if name.startswith(_GOING):
                with _told(self.name):
                    shutil.rmtree(self._directory / name)
        return [name.removeprefix(_PARTIAL) for name in names if name.startswith(_PARTIAL)]

    def open(self, set_id: SetId, file: str) -> IO[bytes]:
        """See `Target`."""
        with _told(self.name):
            try:
                return (self._directory / set_id / file).open("rb")
            except FileNotFoundError as error:
                raise _missing(set_id, file, self.name) from error

    def note(self, set_id: SetId, file: str, text: bytes) -> None:
        """See `Target`."""
        draft = self._directory / set_id / f".{file}.new"
        with _told(self.name):
            draft.unlink(missing_ok=True)
            with _synced(draft) as stream:
                stream.write(text)
            draft.replace(self._directory / set_id / file)
            sync_directory(self._directory / set_id)

    def remove(self, set_id: SetId) -> None:
        """See `Target`."""
        going = self._directory / f"{_GOING}{set_id}"
        with _told(self.name):
            (self._directory / set_id).rename(going)
            sync_directory(self._directory)
            shutil.rmtree(going)

    def free_bytes(self) -> int | None:
        """See `Target`."""
        with _told(self.name):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return shutil.disk_usage(self._directory).free

    def _names(self) -> list[str]:
        with _told(self.name):
            try:
                return sorted(path.name for path in self._directory.iterdir())
            except FileNotFoundError:
                return []


class RemoteTarget:
    """Sets as folders of an object store, where the manifest, written last, makes a set visible."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
        self._address = address
        self._opened: tuple[Any, str] | None = None

    def begin(self, set_id: SetId) -> None:
        """See `Target`."""
        with _translated(self.name):
            self._fs.invalidate_cache()
            # No parents: a name with a typo must not become a new bucket.
            self._fs.mkdir(self._path(set_id), create_parents=False)

    def write(self, set_id: SetId, file: str) -> IO[bytes]:
        """See `Target`."""
        with _translated(self.name):
            return cast(
                "IO[bytes]", self._fs.open(self._path(set_id, file), "wb", block_size=_BLOCK)
            )

    def publish(self, set_id: SetId, manifest: bytes) -> None:
        """See `Target`."""
        self.note(set_id, MANIFEST, manifest)

    def abandon(self, set_id: SetId) -> None:
        """See `Target`."""
        with _translated(self.name), suppress(FileNotFoundError):
            self._fs.rm(self._path(set_id), recursive=True)

    def sets(self) -> list[SetId]:
        """See `Target`."""
        return [found for found, whole in self._folders() if whole]

    def partial(self) -> list[SetId]:
        """See `Target`."""
        return [found for found, whole in self._folders() if not whole]

    def open(self, set_id: SetId, file: str) -> IO[bytes]:
        """See `Target`."""
        with _translated(self.name):
            try:
                return cast(
                    "IO[bytes]",
                    self._fs.open(self._path(set_id, file), "rb", block_size=_BLOCK),
                )
            except FileNotFoundError as error:
                raise _missing(set_id, file, self.name) from error

    def note(self, set_id: SetId, file: str, text: bytes) -> None:
        """See `Target`."""
        with _translated(self.name):
            self._fs.pipe_file(self._path(set_id, file), text)

    def remove(self, set_id: SetId) -> None:
        """See `Target`."""
        with _translated(self.name):
            self._fs.rm_file(self._path(set_id, MANIFEST))
            self._fs.rm(self._path(set_id), recursive=True)

    def free_bytes(self) -> int | None:
        """See `Target`."""
        return None

    def _folders(self) -> Iterator[tuple[SetId, bool]]:
        with _translated(self.name):
            self._fs.invalidate_cache()
            try:
                found = sorted(str(path) for path in self._fs.ls(self._root, detail=False))
            except FileNotFoundError:
                return
            for path in found:
                name = path.rstrip("/").rpartition("/")[2]
                if is_set_id(name):
                    yield name, bool(self._fs.exists(self._path(name, MANIFEST)))

    def _path(self, set_id: SetId, file: str = "") -> str:
        return "/".join(filter(None, (self._root, set_id, file)))

    @property
    def _fs(self) -> Any:
        return self._open()[0]

    @property
    def _root(self) -> str:
        return self._open()[1]

    def _open(self) -> tuple[Any, str]:
        """Connect when first needed: fsspec and its adapters are heavy imports."""
        if self._opened is None:
            url_to_fs: Any = import_module("fsspec.core").url_to_fs
            try:
                fs, root = url_to_fs(self._address)
            except (ImportError, ValueError) as error:
                raise InvalidRequest(
                    f"nothing installed here understands {self.name}",
                    "For s3:// install the extra `s3`: `uv sync --extra s3`.",
                ) from error
            self._opened = fs, root.rstrip("/")
        return self._opened


class _Synced(io.FileIO):
    """A new private file that is on the disk when it is closed."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        super().__init__(os.open(path, flags, 0o600), "wb")

    def close(self) -> None:
        """Sync, then close."""
        if not self.closed:
            try:
                os.fsync(self.fileno())
            finally:
                super().close()


def _synced(path: Path) -> IO[bytes]:
    return io.BufferedWriter(_Synced(path), _BUFFER)


def sync_directory(directory: Path) -> None:
    """See that names in a directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(name: str) -> Generator[None]:
    """Say which target failed; `FileNotFoundError` is for those who expect it."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"the backup target {name} failed: {error.strerror or error}",
            "See that it exists, may be written and has room; DRYAD_BACKUP_TARGETS names it.",
        ) from error


@contextmanager
def _translated(name: str) -> Generator[None]:
    """As `_told`, for what fsspec's adapters raise: each has errors of its own."""
    try:
        with _told(name):
            yield
    except DryadError:
        raise
    except Exception as error:
        raise Unavailable(
            f"the backup target {name} failed: {type(error).__name__}: {error}",
            "See that it exists, may be written and answers; DRYAD_BACKUP_TARGETS names it.",
        ) from error


def _missing(set_id: SetId, file: str, where: str) -> NotFound:
    return NotFound(
        f"set {set_id} in {where} has no {file}: a part is missing",
        "Use another set, or another target that holds this one; `dryad backup list` shows them.",
    )
