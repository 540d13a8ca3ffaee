"""What comes back is what was there: row by row and search by search, under constant writers.

Both technologies, with a Redis and a Chroma as mirrors, which no set holds.
"""

import hashlib
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from dryad.execution.memories import Document
from dryad.foundation.database import Database
from dryad.foundation.ids import TenantId
from dryad.foundation.installation import Installation
from dryad.memory.archivist import Archivist
from dryad.memory.index.chroma import ChromaIndex
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.recent.redis import RedisMirror
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.manifest import Manifest
from dryad.operations.backups.sets import Backups
from dryad.operations.restores.restore import Restore
from tests import servers
from tests.dryad.memory.test_meaning import Letters
from tests.dryad.operations.conftest import House
from tests.dryad.operations.restores.test_restore import anchor

TENANT = TenantId("default")
PATIENCE = timedelta(seconds=20)
SEARCHES = 20
MARKED = ("installation", "stops", "mirrors", "outbox", "health")
"""Tables that a restore, or a process, writes for itself."""


class Memory:
    """Both memories of an installation as its processes have them, mirrors and all."""

    def __init__(self, house: House, redis: servers.Killable, chroma: servers.Killable) -> None:
        self._opened = ExitStack()
        ledger = self._opened.enter_context(closing(Database(house.stores.database)))
        epoch = Installation(ledger).epoch()
        mirror = RedisMirror(
            f"redis://127.0.0.1:{redis.port}", installation=epoch, timeout=PATIENCE
        )
        index = ChromaIndex(f"http://127.0.0.1:{chroma.port}", installation=epoch, timeout=PATIENCE)
        self._opened.callback(mirror.close)
        self._opened.enter_context(closing(index))
        self.recent = RecentCopy(ledger, mirror)
        self.index = IndexCopy(ledger, index, Letters())
        self.archivist = Archivist(ledger, copy=self.recent)
        self.librarian = Librarian(ledger, embedder=Letters(), copy=self.index)

    def keep(self) -> None:
        """What the keeper does: bring the mirrors all they have yet to see."""
        self.recent.keep()
        self.index.keep()
        assert (self.recent.trouble(), self.index.trouble()) == ("", "")

    def write(self, number: int) -> None:
        """A document and a value."""
        words = " ".join(f"w{(number * 7 + turn) % 97:02d}" for turn in range(40))
        said = Document(f"Title {number}", f"unique{number:06d} {words}", f"doc-{number}")
        self.librarian.shelve(TENANT, said)
        self.archivist.remember(TENANT, "scout", f"key-{number}", number)

    def found(self, query: str, limit: int = 10) -> list[tuple[str, str]]:
        return [(hit.document, hit.text) for hit in self.librarian.search(TENANT, query, limit)]

    def value(self, number: int) -> object:
        entry = self.archivist.recall(TENANT, "scout", f"key-{number}")
        return None if entry is None else entry.value

    def close(self) -> None:
        self._opened.close()


@contextmanager
def opened(house: House, redis: servers.Killable, chroma: servers.Killable) -> Generator[Memory]:
    with closing(Memory(house, redis, chroma)) as memory:
        yield memory


@contextmanager
def writing(*works: Callable[[int], None], first: int) -> Generator[None]:
    """Let writers work all the time, each counting up."""
    ended, failed = threading.Event(), list[Exception]()

    def write(work: Callable[[int], None]) -> None:
        number = first
        try:
            while not ended.is_set():
                work(number)
                number += 1
        except Exception as error:  # noqa: BLE001 - raised below
            failed.append(error)

    writers = [threading.Thread(target=write, args=(work,)) for work in works]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    assert not failed, failed


def fill_log(house: House, megabytes: int) -> None:
    """Let the Prefect database hold so much."""
    engine = create_engine(str(house.stores.prefect_database))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE log (id INTEGER PRIMARY KEY, message TEXT)"))
    for part in range(megabytes):
        rows = [
            {
                "id": part * 1000 + n,
                "message": hashlib.sha256(b"%d-%d" % (part, n)).hexdigest() * 15,
            }
            for n in range(1000)
        ]
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO log VALUES (:id, :message)"), rows)
    engine.dispose()


def rows_of(url: str, *, without: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """The digest of every row of every table, so that a gigabyte compares in little memory."""
    engine = create_engine(url)
    sqlite = engine.dialect.name == "sqlite"
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " AND rootpage > 0"
        if sqlite
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    found: dict[str, set[str]] = {}
    with engine.connect().execution_options(stream_results=True) as connection:
        for name in list(connection.execute(text(names)).scalars()):
            if name in without:
                continue
            rows = connection.execute(text(f'SELECT * FROM "{name}"')).yield_per(1000)
            found[name] = {hashlib.md5(repr(tuple(row)).encode()).hexdigest() for row in rows}
    engine.dispose()
    return found


def live_rows(house: House) -> dict[str, set[str]]:
    ledger = rows_of(house.stores.database, without=MARKED)
    prefect = rows_of(str(house.stores.prefect_database))
    return ledger | {f"prefect.{name}": rows for name, rows in prefect.items()}


def restored(house: House, backups: Backups, manifest: Manifest) -> dict[str, set[str]]:
    """Restore a set, and return every row that is there then."""
    restore = Restore.new(backups, anchor(house))
    restore.prepare(backups.find(manifest.id))
    restore.switch()
    restore.finish()
    return live_rows(house)


def same(before: dict[str, set[str]], after: dict[str, set[str]]) -> None:
    """Row by row the same, but for what a restore says in its own name."""
    for name in before.keys() | after.keys():
        extra, lost = after[name] - before[name], before[name] - after[name]
        if name == "audit":
            assert (len(extra), len(lost)) == (1, 0), "a row says that it was restored"
        elif name in {"prefect.flow_run", "prefect.deployment_schedule", "prefect.automation"}:
            assert len(extra) == len(lost), name  # held, paused, off
        elif name == "prefect.flow_run_state":
            assert not lost
        else:
            assert (extra, lost) == (set(), set()), name


def one_moment(before: dict[str, set[str]], after: dict[str, set[str]], kept: Manifest) -> None:
    """Every restored row was there as it is, and there are as many as were kept."""
    assert after["documents"] < before["documents"], "writers went on after the snapshot"
    for name in ("documents", "passages", "recent", "prefect.log"):
        assert after[name] <= before[name], name
        part = kept.part("prefect" if name.startswith("prefect.") else "dryad")
        assert part is not None
        assert len(after[name]) == part.counts[name.removeprefix("prefect.")], name


def alike(house: House, place: Path, *, documents: int, megabytes: int) -> None:
    """Keep under constant writers and restore; then once more in peace, to compare it all."""
    (place / "redis").mkdir()
    (place / "chroma").mkdir()
    backups = house.backups(place / "kept")
    fill_log(house, megabytes)
    engine = create_engine(str(house.stores.prefect_database))

    def log(number: int) -> None:
        with engine.begin() as connection:
            row: dict[str, Any] = {"id": number + 10_000_000, "message": f"written {number}"}
            connection.execute(text("INSERT INTO log VALUES (:id, :message)"), row)

    with servers.redis(place / "redis") as redis, servers.chroma(place / "chroma") as chroma:
        with opened(house, redis, chroma) as memory:
            for number in range(documents):
                memory.write(number)
            memory.keep()
            with writing(memory.write, log, first=documents):
                kept = backups.create(Purpose()).manifest
                memory.write(9_000_000)  # certainly after the snapshot
            newest = memory.found("unique9000000")[0]
            memory.keep()
        engine.dispose()
        before = live_rows(house)
        one_moment(before, restored(house, backups, kept), kept)

        with opened(house, redis, chroma) as memory:
            memory.keep()  # mirrors that held newer things are made anew
            for number in range(0, documents, max(1, documents // SEARCHES)):
                assert f"unique{number:06d}" in memory.found(f"unique{number:06d}")[0][1]
                assert memory.value(number) == number
            assert newest not in memory.found("unique9000000")
            assert memory.value(9_000_000) is None
            queries = [f"w{n:02d} w{n + 40:02d} unique{n:06d}" for n in range(SEARCHES)]
            hits = [memory.found(query) for query in queries]
        before = live_rows(house)
        kept = backups.create(Purpose()).manifest
        same(before, restored(house, backups, kept))
        with opened(house, redis, chroma) as memory:
            memory.keep()
            assert [memory.found(query) for query in queries] == hits
            assert all(hits)


def test_what_comes_back_is_what_was_there(house: House, tmp_path: Path):
    alike(house, tmp_path, documents=60, megabytes=5)


@pytest.mark.soak
def test_a_gigabyte_comes_back_row_by_row_and_search_by_search(house: House, tmp_path: Path):
    alike(house, tmp_path, documents=1000, megabytes=1000)
