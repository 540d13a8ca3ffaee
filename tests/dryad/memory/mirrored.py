"""Memory with a mirror of its own, which tests kill, stop and fill with what is wrong."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from dryad.foundation.database import Database
from dryad.memory.archivist import Archivist
from dryad.memory.index.chroma import ChromaIndex
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.recent.port import Copy, Entry, Slot
from dryad.memory.recent.redis import RedisMirror
from tests import servers
from tests.dryad.memory.conftest import ACME, PATIENCE, Hands
from tests.dryad.memory.test_meaning import Letters

SLOT = Slot(ACME, "scout", "k")
SOON = timedelta(milliseconds=100)


@pytest.fixture
def own_redis(tmp_path: Path) -> Generator[servers.Killable]:
    """A Redis to be killed."""
    (tmp_path / "redis").mkdir()
    with servers.redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def own_chroma(tmp_path: Path) -> Generator[servers.Killable]:
    """A Chroma to be killed."""
    (tmp_path / "chroma").mkdir()
    with servers.chroma(tmp_path / "chroma") as server:
        yield server


@dataclass
class Recent:
    """Short-term memory as one process has it, and what is behind."""

    ledger: Database
    server: servers.Killable
    mirror: RedisMirror
    copy: RecentCopy
    archivist: Archivist

    def value(self, key: str = "k") -> object:
        found = self.archivist.recall(ACME, "scout", key)
        return found.value if found else None

    def put(self, value: object, key: str = "k") -> None:
        self.archivist.remember(ACME, "scout", key, value)

    @property
    def mirrored(self) -> Entry | None:
        """What lies in the mirror, whoever believes it."""
        state = self.copy.states.read()
        return self.mirror.read(Copy(state.generation, self.mirror.server()), SLOT)


def recent_of(ledger: Database, server: servers.Killable, clock: Hands | None = None) -> Recent:
    address = f"redis://127.0.0.1:{server.port}"
    mirror = RedisMirror(address, installation="test", timeout=PATIENCE)
    more = {"clock": clock} if clock else {}
    copy = RecentCopy(ledger, mirror, belief=SOON, **more)
    return Recent(ledger, server, mirror, copy, Archivist(ledger, copy=copy, **more))


@pytest.fixture
def recent(ledger: Database, own_redis: servers.Killable) -> Generator[Recent]:
    made = recent_of(ledger, own_redis)
    made.copy.keep()
    yield made
    made.mirror.close()


@dataclass
class Shelf:
    """Long-term memory as one process has it, and what is behind."""

    server: servers.Killable
    index: ChromaIndex
    copy: IndexCopy
    librarian: Librarian

    def found(self, text: str) -> str:
        return self.librarian.search(ACME, text, 1)[0].document


@pytest.fixture
def shelf(ledger: Database, own_chroma: servers.Killable) -> Generator[Shelf]:
    address = f"http://127.0.0.1:{own_chroma.port}"
    with closing(ChromaIndex(address, installation="test", timeout=5 * PATIENCE)) as index:
        copy = IndexCopy(ledger, index, Letters(), pause=SOON, late=SOON)
        copy.keep()
        yield Shelf(own_chroma, index, copy, Librarian(ledger, embedder=Letters(), copy=copy))
