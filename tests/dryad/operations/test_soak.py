"""Kills at random moments, and a gigabyte: `just soak`; a few kills also in CI."""

import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.secrets import Secrets
from dryad.operations.backups.making import Purpose
from dryad.operations.restores.restore import recover
from tests.dryad.operations.conftest import House, filled
from tests.dryad.operations.keeper_of_sets import backups_at

ROOT = Path(__file__).parents[3]
CHANCE = random.Random(20251013)


@pytest.fixture
def big_house(tmp_path: Path, request: pytest.FixtureRequest) -> House:
    """An installation whose Prefect database holds so many megabytes."""
    home = tmp_path / "home"
    (home / "prefect").mkdir(parents=True)
    house = filled(backups_at(home, tmp_path / "kept").stores)
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, message BLOB)")
        for _ in range(request.param):
            rows = [(CHANCE.randbytes(500) + b"the same words again " * 24,) for _ in range(1000)]
            connection.executemany("INSERT INTO log (message) VALUES (?)", rows)
            connection.commit()
    return house


def killed(what: str, house: House, target: Path, most_seconds: float) -> None:
    """Let a process work and kill it with -9 at a random moment."""
    arguments = [what, str(house.stores.home), str(target)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.dryad.operations.keeper_of_sets", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"round\n", process.stderr and process.stderr.read()
    time.sleep(CHANCE.uniform(0, most_seconds))
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()[-2000:]


def sound(house: House, target: Path) -> None:
    """Nothing half made is visible, every set restores, and one whole state is in force."""
    backups = backups_at(house.stores.home, target)
    recover(backups, house.stores.home / "audit-heads")
    assert {one.state for one in backups.listed()} <= {"verified", "unverified"}
    found = backups.verify(backups.find("newest"))
    assert found.problems == ()
    with closing(Database(house.stores.database)) as database:
        key = Secrets.read(house.secrets).audit_key
        audit = Audit(database, key, house.stores.home / "audit-heads")
        assert audit.verify("default").intact
    with closing(sqlite3.connect(house.stores.home / "prefect" / "prefect.db")) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) % 1000 FROM log").fetchone() == (0,)


def kill_again_and_again(house: House, target: Path, times: int, most_seconds: float) -> None:
    backups_at(house.stores.home, target).create(Purpose())
    for turn in range(times):
        killed(("backup", "prune", "restore")[turn % 3], house, target, most_seconds)
        sound(house, target)


@pytest.mark.parametrize("big_house", [5], indirect=True)
def test_six_kills_leave_whole_sets_and_one_whole_state(big_house: House, tmp_path: Path):
    kill_again_and_again(big_house, tmp_path / "kept", 6, 0.6)


@pytest.mark.soak
@pytest.mark.parametrize("big_house", [5], indirect=True)
def test_fifty_kills_leave_whole_sets_and_one_whole_state(big_house: House, tmp_path: Path):
    kill_again_and_again(big_house, tmp_path / "kept", 50, 0.8)


@pytest.mark.soak
@pytest.mark.parametrize("big_house", [1000], indirect=True)
def test_a_gigabyte_is_kept_and_restored_in_flat_memory(big_house: House, tmp_path: Path):
    """At most 200 MB in the process that keeps, verifies and restores it; then three kills."""
    code = (
        "import sys, pathlib; from tests.dryad.operations.keeper_of_sets import *\n"
        "home, target = map(pathlib.Path, sys.argv[1:])\n"
        "backups = backups_at(home, target); made = backups.create(Purpose()).manifest\n"
        "assert backups.verify(backups.find(made.id)).good\n"
        "restore = Restore.new(backups, home / 'audit-heads')\n"
        "restore.prepare(backups.find(made.id)); prove(restore, list)\n"
        "print((made.finished - made.started).total_seconds())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(big_house.stores.home), str(tmp_path / "kept")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    sys.stdout.write(f"kept in {done.stdout.strip()} s, peak {peak:.0f} MB\n")
    assert peak < 200
    for what in ("backup", "prune", "restore"):
        killed(what, big_house, tmp_path / "kept", 20)
        sound(big_house, tmp_path / "kept")
