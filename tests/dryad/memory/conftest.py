"""A ledger with two tenants, and a clock that only tests move."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import pytest

from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import Archivist
from dryad.memory.index.chroma import ChromaIndex
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.recent.redis import RedisMirror
from tests.servers import Killable

PATIENCE = timedelta(seconds=2)
"""How long a mirror may take on a busy machine."""

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


def redis_mirror(server: Killable) -> RedisMirror:
    """A mirror of an installation that is not any other test's."""
    return RedisMirror(
        f"redis://127.0.0.1:{server.port}", installation=token_hex(8), timeout=PATIENCE
    )


def chroma_index(server: Killable) -> ChromaIndex:
    """An index of an installation that is not any other test's."""
    url = f"http://127.0.0.1:{server.port}"
    return ChromaIndex(url, installation=token_hex(8), timeout=10 * PATIENCE)


class Hands:
    """The time, moved by hand."""

    def __init__(self) -> None:
        # Of today: a server that mirrors the ledger has a clock of its own.
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def ledger(database: Database, clock: Hands) -> Database:
    with database.transaction() as session:
        for tenant in (ACME, GLOBEX):
            session.add(TenantRow(id=tenant, name=tenant, status="active", created=clock()))
    return database


@pytest.fixture(params=["embedded", "redis"])
def archivist(
    request: pytest.FixtureRequest, ledger: Database, clock: Hands
) -> Generator[Archivist]:
    """Short-term memory in the ledger alone, and with a mirror that is read."""
    if request.param == "embedded":
        yield Archivist(ledger, clock=clock)
        return
    server: Killable = request.getfixturevalue("redis_server")
    mirror = redis_mirror(server)
    copy = RecentCopy(ledger, mirror, clock=clock)
    copy.keep()
    yield Archivist(ledger, clock=clock, copy=copy)
    assert copy.states.read().trusted == mirror.server()
    mirror.close()


@pytest.fixture
def librarian(ledger: Database, clock: Hands) -> Librarian:
    return Librarian(ledger, clock=clock)
