"""Kills at random moments, and a gigabyte: `just soak`; a few kills also in CI."""

import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.secrets import Secrets
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.sets import Backups
from dryad.operations.restores.restore import recover
from tests import servers, services
from tests.dryad.operations.conftest import House, filled
from tests.dryad.operations.keeper_of_sets import backups_at

ROOT = Path(__file__).parents[3]
CHANCE = random.Random(20251013)


SERVER_FILLS = """
INSERT INTO log (message) SELECT
    convert_to(repeat('the same words again ', 24), 'UTF8')
    || sha512(convert_to(g || 'a', 'UTF8')) || sha512(convert_to(g || 'b', 'UTF8'))
    || sha512(convert_to(g || 'c', 'UTF8')) || sha512(convert_to(g || 'd', 'UTF8'))
    || sha512(convert_to(g || 'e', 'UTF8')) || sha512(convert_to(g || 'f', 'UTF8'))
    || sha512(convert_to(g || 'g', 'UTF8')) || sha512(convert_to(g || 'h', 'UTF8'))
FROM generate_series(1, :rows) AS g
"""
"""A kilobyte a row, of which half packs well."""


@dataclass(frozen=True)
class Big:
    """An installation with a big Prefect database, and where it is."""

    house: House
    target: Path
    server: str = ""

    @property
    def arguments(self) -> list[str]:
        return [
            str(self.house.stores.home),
            str(self.target),
            *([self.server] if self.server else []),
        ]

    def backups(self) -> Backups:
        return backups_at(self.house.stores.home, self.target, self.server)


@pytest.fixture
def big(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Big]:
    """An installation on a technology whose Prefect database holds so many megabytes."""
    technology, megabytes = request.param
    home = tmp_path / "home"
    (home / "prefect").mkdir(parents=True)
    if technology == "sqlite":
        house = filled(backups_at(home, tmp_path / "kept").stores)
        with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, message BLOB)")
            for _ in range(megabytes):
                rows = [
                    (CHANCE.randbytes(500) + b"the same words again " * 24,) for _ in range(1000)
                ]
                connection.executemany("INSERT INTO log (message) VALUES (?)", rows)
                connection.commit()
        yield Big(house, tmp_path / "kept")
        return
    services.need("postgres")
    (tmp_path / "server").mkdir()
    with servers.postgres(tmp_path / "server") as server:
        for name in ("ledger", "prefect"):
            told(f"{server}/postgres", f"CREATE DATABASE {name}")
        house = filled(backups_at(home, tmp_path / "kept", server).stores)
        told(f"{server}/prefect", "CREATE TABLE log (id SERIAL PRIMARY KEY, message BYTEA)")
        told(f"{server}/prefect", SERVER_FILLS, rows=megabytes * 1000)
        yield Big(house, tmp_path / "kept", server)


def told(url: str, statement: str, **values: Any) -> None:
    """Run one statement outside a transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


def started(what: str, big: Big) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.dryad.operations.keeper_of_sets", what, *big.arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def killed(what: str, big: Big, most_seconds: float) -> None:
    """Let a process work and kill it with -9 at a random moment."""
    process = started(what, big)
    assert process.stdout is not None
    assert process.stdout.readline() == b"round\n", process.stderr and process.stderr.read()
    time.sleep(CHANCE.uniform(0, most_seconds))
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()[-2000:]


def sound(big: Big) -> None:
    """Nothing half made is visible, every set restores, and one whole state is in force."""
    backups, house = big.backups(), big.house
    recover(backups, house.stores.home / "audit-heads")
    assert {one.state for one in backups.listed()} <= {"verified", "unverified"}
    found = backups.verify(backups.find("newest"))
    assert found.problems == ()
    with closing(Database(house.stores.database)) as database:
        key = Secrets.read(house.secrets).audit_key
        audit = Audit(database, key, house.stores.home / "audit-heads")
        assert audit.verify("default").intact
    engine = create_engine(str(house.stores.prefect_database))
    with engine.connect() as connection:
        if not big.server:
            assert connection.execute(text("PRAGMA quick_check")).scalar_one() == "ok"
        assert connection.execute(text("SELECT count(*) % 1000 FROM log")).scalar_one() == 0
    engine.dispose()
    if big.server:
        servers.wait_for("the end of what the server was asked for", lambda: tidy(big))


def tidy(big: Big) -> bool:
    """Nothing lies on the server but what is live, and what the last restore put aside."""
    stores = big.house.stores
    recover(big.backups(), stores.home / "audit-heads")
    there = stores.cluster(stores.database).databases()
    asides = {name for name in there if "_before_" in name}
    return there - asides <= {"ledger", "prefect", "postgres", "template0", "template1"}


def kill_again_and_again(big: Big, times: int, most_seconds: float) -> None:
    big.backups().create(Purpose())
    for turn in range(times):
        killed(("backup", "prune", "restore")[turn % 3], big, most_seconds)
        sound(big)


@pytest.mark.parametrize("big", [("sqlite", 5)], indirect=True)
def test_six_kills_leave_whole_sets_and_one_whole_state(big: Big):
    kill_again_and_again(big, 6, 0.6)


@pytest.mark.parametrize("big", [("postgres", 5)], indirect=True)
def test_three_kills_on_postgres_leave_whole_sets_and_one_whole_state(big: Big):
    kill_again_and_again(big, 3, 1.5)


@pytest.mark.soak
@pytest.mark.parametrize("big", [("sqlite", 5), ("postgres", 5)], indirect=True)
def test_fifty_kills_leave_whole_sets_and_one_whole_state(big: Big):
    kill_again_and_again(big, 50, 1.5 if big.server else 0.8)


@pytest.mark.soak
@pytest.mark.parametrize("big", [("sqlite", 1000), ("postgres", 1000)], indirect=True)
def test_a_gigabyte_is_kept_and_restored_in_flat_memory(big: Big):
    """At most 200 MB in the process that keeps, verifies and restores it; then three kills."""
    process = started("cycle", big)
    said, failed = process.communicate()
    assert process.returncode == 0, failed.decode()[-3000:]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    sys.stdout.write(f"{said.decode().strip()}, peak {peak:.0f} MB\n")
    assert peak < 200
    for what in ("backup", "prune", "restore"):
        killed(what, big, 20)
        sound(big)
