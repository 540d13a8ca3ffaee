"""A ledger with two tenants, and a clock that only tests move."""

from datetime import UTC, datetime, timedelta

import pytest

from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import Archivist
from dryad.memory.librarian import Librarian

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


class Hands:
    """The time, moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

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


@pytest.fixture
def archivist(ledger: Database, clock: Hands) -> Archivist:
    return Archivist(ledger, clock=clock)


@pytest.fixture
def librarian(ledger: Database, clock: Hands) -> Librarian:
    return Librarian(ledger, clock=clock)
