"""What a set is made from: each part as one consistent stream, while writers go on."""

import io
import os
import sqlite3
import stat
import tarfile
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dryad.foundation.errors import Unavailable
from dryad.operations.backups.age import Source
from dryad.operations.backups.facts import sqlite_facts
from dryad.operations.backups.manifest import PartName, Technology
from dryad.operations.backups.postgres import Cluster

_BIG_FILE = 8 << 20
"""A file under the home up to this size is copied in memory before it is packed."""

LEFT_OUT = ("run", "secrets", "audit-heads", "chroma", "backups", "restores", "scratch")
"""Folders of the home that no set holds: what is of a process, secret, a mirror, or outside."""


@dataclass(frozen=True)
class Stores:
    """Where an installation keeps what a set must hold."""

    home: Path
    database: str
    """SQLAlchemy URL of the DRYAD database."""
    prefect_database: str | None
    """SQLAlchemy URL of the own Prefect server's; None: the server is not ours."""
    settings_text: str
    """The settings in force, as `.env`, without secrets."""
    outside: tuple[Path, ...] = ()
    """Directories that are not the home's even where they lie in it."""
    postgres_tools: Path | None = None
    """Directory of `pg_dump` and `pg_restore`; None: they are on PATH."""

    def url(self, name: PartName) -> str | None:
        """The database of a part; None: the part is no database, or there is none."""
        return {"dryad": self.database, "prefect": self.prefect_database}.get(name)

    def is_sqlite(self, name: PartName) -> bool:
        """Whether the database of a part is SQLite."""
        url = self.url(name)
        return url is not None and is_sqlite(url)

    def cluster(self, url: str) -> Cluster:
        """The PostgreSQL of a database."""
        return Cluster(url, self.postgres_tools)


@dataclass
class Snapshot:
    """One part as it was in one moment; `counts` of files are complete once it was read."""

    technology: Technology
    stream: Source
    counts: dict[str, int] = field(default_factory=dict[str, int])
    positions: dict[str, Any] = field(default_factory=dict[str, Any])


def part_names(stores: Stores) -> list[PartName]:
    """Return the parts a set of this installation has, the ledger first."""
    names: list[PartName] = ["dryad", "prefect", "files", "settings"]
    if stores.prefect_database in {None, stores.database}:
        names.remove("prefect")  # an existing server backs itself up; one database is one part
    return names


def expected_bytes(stores: Stores) -> int:
    """Return about how much a set holds before it is packed."""
    databases = {stores.url(name) for name in part_names(stores)} - {None}
    sizes = [
        sqlite_bytes(sqlite_path(url)) if is_sqlite(url) else stores.cluster(url).size_bytes()
        for url in databases
        if url is not None
    ]
    return sum(sizes) + sum(path.lstat().st_size for path in _files(stores))


def scratch_bytes(stores: Stores) -> int:
    """Return how much the largest SQLite copy takes up beside the original, for a moment."""
    urls = (stores.database, stores.prefect_database)
    return max((sqlite_bytes(sqlite_path(u)) for u in urls if u and is_sqlite(u)), default=0)


def is_sqlite(url: str) -> bool:
    """Whether a SQLAlchemy URL means SQLite."""
    return url.startswith("sqlite")


def sqlite_path(url: str) -> Path:
    """Return the file of a SQLite URL."""
    return Path(url.partition(":///")[2].partition("?")[0])


def sqlite_bytes(path: Path) -> int:
    """Return the size of a database with what is still in its log; 0: there is none."""
    parts = (path, path.with_name(path.name + "-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


@contextmanager
def snapshot(name: PartName, stores: Stores, scratch: Path) -> Generator[Snapshot]:
    """Give one part as a stream.

    Args:
        name: Which.
        stores: Where everything is.
        scratch: An empty private directory for a copy of a SQLite database.

    Raises:
        Unavailable: the database does not answer, or cannot be read whole.
    """
    url = stores.url(name)
    if name == "settings":
        yield Snapshot("env", io.BytesIO(stores.settings_text.encode()))
    elif url is None:
        with _packed_files(stores) as found:
            yield found
    elif is_sqlite(url):
        with _sqlite(sqlite_path(url), scratch) as found:
            yield found
    else:
        with stores.cluster(url).dump() as (stream, counts, positions):
            yield Snapshot("postgresql", stream, counts, positions)


@contextmanager
def _sqlite(path: Path, scratch: Path) -> Generator[Snapshot]:
    """Copy in one step by SQLite's own API: a reader that keeps no writer waiting (WAL)."""
    copy = scratch / path.name
    try:
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as live,
            closing(sqlite3.connect(copy)) as kept,
        ):
            kept.execute("PRAGMA synchronous=OFF")
            live.backup(kept)
            kept.execute("PRAGMA journal_mode=DELETE")  # one file, whole in itself
            counts, positions = sqlite_facts(kept)
    except sqlite3.Error as error:
        raise Unavailable(f"{path} could not be copied: {error}") from error
    try:
        with copy.open("rb") as stream:
            yield Snapshot("sqlite", stream, counts, positions)
    finally:
        copy.unlink()


@contextmanager
def _packed_files(stores: Stores) -> Generator[Snapshot]:
    """The files under the home as a tar stream, written by a thread while it is read."""
    counts = Counter[str]()
    with _piped(lambda out: _pack(stores, out, counts)) as stream:
        found = Snapshot("tar", stream)
        yield found
        found.counts.update(counts)


def _pack(stores: Stores, out: IO[bytes], counts: Counter[str]) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in _files(stores):
            name = path.relative_to(stores.home).as_posix()
            try:
                _add(archive, path, name)
            except FileNotFoundError:
                continue  # it went while we walked: it is not there in this moment either
            counts["folders" if path.is_dir() and not path.is_symlink() else "files"] += 1


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file as long as it is when it was copied: it may grow or shrink while we read."""
    entry = archive.gettarinfo(path, name)
    entry.uname = entry.gname = ""
    if not entry.isreg():
        archive.addfile(entry)
        return
    with path.open("rb") as live, tempfile.SpooledTemporaryFile(_BIG_FILE) as copy:
        size = 0
        while chunk := live.read(1 << 20):
            size += copy.write(chunk)
        copy.seek(0)
        entry.size, entry.type = size, tarfile.REGTYPE  # a second link is a file of its own
        archive.addfile(entry, copy)


def _files(stores: Stores) -> Generator[Path]:
    """Yield what lies under the home and belongs into a set; folders before what is in them."""
    databases = [
        sqlite_path(u) for u in (stores.database, stores.prefect_database or "") if is_sqlite(u)
    ]
    left_out = {stores.home / name for name in LEFT_OUT} | set(stores.outside)
    left_out |= {
        d.with_name(d.name + end) for d in databases for end in ("", "-wal", "-shm", "-journal")
    }
    pending = [stores.home]
    while pending:
        try:
            inside = sorted(pending.pop().iterdir())
        except FileNotFoundError:
            continue
        for path in inside:
            if path in left_out:
                continue
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(mode):
                pending.append(path)
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                yield path


@contextmanager
def _piped(write: Callable[[IO[bytes]], None]) -> Generator[IO[bytes]]:
    """Let a thread write what is read here; its failure is raised at the end."""
    reading, writing = _pipe()
    failures: list[Exception] = []

    def work() -> None:
        with writing:
            try:
                write(writing)
            except BrokenPipeError:  # the reader failed, and tells why
                return
            except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
                failures.append(error)

    thread = threading.Thread(target=work, name="packing")
    thread.start()
    try:
        with reading:
            yield reading
    finally:
        thread.join()
    for failure in failures:
        raise Unavailable(f"the files of the home could not be packed: {failure}") from failure


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", _BIG_FILE), os.fdopen(writing, "wb", 1 << 20)
