"""Small installations to keep, on SQLite and on PostgreSQL, and places to keep them in."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database, migrate
from dryad.foundation.database.models import TenantRow
from dryad.foundation.secrets import Secrets
from dryad.operations.backups.sets import Backups
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.targets import DirectoryTarget, Target
from tests.servers import postgres_tools

NOON = datetime(2025, 10, 13, 12, tzinfo=UTC)
_names = itertools.count()


PREFECT = """
CREATE TABLE flow_run (id VARCHAR(36), state_id VARCHAR(36), state_type TEXT, state_name TEXT,
    state_timestamp TIMESTAMP, auto_scheduled BOOLEAN, idempotency_key TEXT,
    next_scheduled_start_time TIMESTAMP);
CREATE TABLE flow_run_state (id VARCHAR(36), flow_run_id VARCHAR(36), type TEXT, name TEXT,
    timestamp TIMESTAMP, message TEXT);
CREATE TABLE deployment_schedule (id VARCHAR(36), active BOOLEAN);
CREATE TABLE automation (id VARCHAR(36), enabled BOOLEAN);
INSERT INTO automation VALUES ('m', true);
INSERT INTO deployment_schedule VALUES ('s', true);
INSERT INTO flow_run (id, state_type, auto_scheduled, idempotency_key) VALUES
    ('a', 'COMPLETED', false, 'k1'), ('b', 'PAUSED', false, 'k2'), ('c', 'SCHEDULED', true, 'k3')
"""
"""The part of Prefect's schema that a restore touches."""


class Clock:
    """Time that passes by a second each time somebody looks."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class House:
    """An installation's stores, filled with a little of everything."""

    stores: Stores
    secrets: Path
    clock: Clock

    def backups(self, *targets: Target | Path) -> Backups:
        return Backups(
            self.stores,
            [DirectoryTarget(t) if isinstance(t, Path) else t for t in targets],
            self.secrets,
            versions=lambda: {"dryad": "0.1.0"},
            clock=self.clock,
        )

    def tell(self, words: str) -> None:
        """Append to the audit chain, as everything that matters does."""
        database = Database(self.stores.database)
        key = Secrets.read(self.secrets).audit_key
        audit = Audit(database, key, self.stores.home / "audit-heads", self.clock)
        audit.append("default", "told", actor="test", subject=words)
        database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """A filled installation, once on each technology."""
    if request.param == "sqlite":
        return filled(_on_sqlite(tmp_path / "home"))
    return _on_postgres(request.getfixturevalue("postgres_server"), tmp_path / "home")


@pytest.fixture
def postgres_house(postgres_server: str, tmp_path: Path) -> House:
    """A filled installation on PostgreSQL alone: for what lies on its server."""
    return _on_postgres(postgres_server, tmp_path / "home")


@pytest.fixture
def sqlite_house(tmp_path: Path) -> House:
    """A filled installation on SQLite alone: for what does not depend on the technology."""
    return filled(_on_sqlite(tmp_path / "home"))


def filled(stores: Stores) -> House:
    """Return an installation with a schema, an audit chain, runs and files."""
    home = stores.home
    Secrets.create_or_read(home / "secrets")
    database = Database(stores.database)
    migrate.upgrade(database)
    with database.transaction() as session:
        session.add(TenantRow(id="default", name="Default", status="active", created=NOON))
    database.close()
    prefect = create_engine(str(stores.prefect_database))
    with prefect.begin() as connection:
        for statement in PREFECT.split(";"):
            connection.execute(text(statement))
    prefect.dispose()
    (home / "workspaces" / "run-1").mkdir(parents=True)
    (home / "workspaces" / "run-1" / "report.md").write_text("# Grüße\n" * 1000)
    (home / "mcp.json").write_text("{}")
    found = House(stores, home / "secrets", Clock())
    found.tell("first")
    return found


def _on_postgres(server: str, home: Path) -> House:
    ledger, prefect = (_empty(server, f"kept_{next(_names)}") for _ in "ab")
    return filled(Stores(home, ledger, prefect, "", postgres_tools=postgres_tools()))


def _on_sqlite(home: Path) -> Stores:
    (home / "prefect").mkdir(parents=True)
    prefect = f"sqlite:///{home / 'prefect' / 'prefect.db'}"
    return Stores(home, f"sqlite:///{home / 'dryad.db'}", prefect, "DRYAD_HOST=127.0.0.1\n")


def _empty(server: str, name: str) -> str:
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"
