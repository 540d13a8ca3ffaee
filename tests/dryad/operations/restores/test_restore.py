"""A restore brings back what a set holds, says what it left behind, and goes back whole."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.errors import Conflict, Corrupt, Refused, Unavailable
from dryad.foundation.installation import Installation
from dryad.foundation.secrets import Secrets
from dryad.foundation.stops import Stops
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.sets import Backups
from dryad.operations.restores.paths import request_file
from dryad.operations.restores.request import request, requested
from dryad.operations.restores.restore import Restore, recover
from dryad.operations.restores.switch import Places
from tests.dryad.operations.conftest import NOON, House


def anchor(house: House) -> Path:
    return house.stores.home / "audit-heads"


def audit(house: House, database: Database) -> Audit:
    return Audit(database, Secrets.read(house.secrets).audit_key, anchor(house), house.clock)


def rows(url: str, query: str) -> list[Any]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
    finally:
        engine.dispose()


def state(house: House) -> dict[str, Any]:
    """Everything a person would miss: rows, files, heads."""
    home = house.stores.home
    files = {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.relative_to(home).parts[0] in {"workspaces", "mcp.json", "new"}
    }
    return {
        "files": files,
        "audit": rows(house.stores.database, "SELECT sequence, event, mac FROM audit ORDER BY 1"),
        "runs": rows(str(house.stores.prefect_database), "SELECT id, state_name FROM flow_run"),
        "heads": {p.name: p.read_text() for p in sorted(anchor(house).glob("*.json"))},
    }


def kept_and_gone_on(house: House, tmp_path: Path) -> Backups:
    """A set, and work that goes on after it."""
    with_task(house)
    backups = house.backups(tmp_path / "kept")
    backups.create(Purpose())
    house.tell("second")
    (house.stores.home / "mcp.json").write_text('{"changed": true}')
    (house.stores.home / "new").mkdir()
    (house.stores.home / "new" / "file").write_text("new")
    return backups


def with_task(house: House) -> None:
    """An open task with an open question."""
    database = Database(house.stores.database)
    with database.transaction() as session:
        from dryad.foundation.database.models import TaskRow

        session.add(
            TaskRow(
                id="task_1", tenant="default", text="t", context={}, agent="", budget={},
                requester="r", idempotency_key="k", request_digest="d", status="waiting", reason="",
                created=NOON, updated=NOON,
            )
        )  # fmt: skip
    database.close()


def test_a_restored_installation_is_what_it_was_and_stands_still(house: House, tmp_path: Path):
    backups = kept_and_gone_on(house, tmp_path)
    database = Database(house.stores.database)
    epoch = Installation(database).epoch()
    database.close()
    left = state(house)["audit"][-1]
    restore = Restore.new(backups, anchor(house))
    held = restore.prepare(backups.find("newest"))
    assert (held.tasks, held.runs) == (1, 1)
    restore.switch()
    restore.finish()

    now = state(house)
    assert now["files"].keys() == {"mcp.json", "workspaces/run-1/report.md"}
    assert (house.stores.home / "mcp.json").read_text() == "{}"
    assert [row[1] for row in now["audit"]] == ["told", "restored"]
    assert now["runs"] == [("a", None), ("b", "Held"), ("c", "Held")]
    assert not rows(
        str(house.stores.prefect_database), "SELECT 1 FROM deployment_schedule WHERE active"
    )
    assert not rows(str(house.stores.prefect_database), "SELECT 1 FROM automation WHERE enabled")
    database = Database(house.stores.database)
    found = audit(house, database)
    assert found.verify("default").intact
    (_, restored) = found.export("default")
    assert restored["data"]["abandoned_head"] == {"sequence": left[0], "mac": left[2]}
    assert Installation(database).epoch() != epoch
    with pytest.raises(Refused, match="restored from backup set"):
        Stops(database, found).check("default")
    assert rows(house.stores.database, "SELECT status FROM tasks") == [("held",)]
    found.append("default", "told", actor="test", subject="goes on")
    assert found.verify("default").intact
    assert found.verify("default").unanchored == 0
    database.close()
    assert (restore.directory / "before" / "new" / "file").read_text() == "new"


def test_going_back_leaves_everything_as_it_was(house: House, tmp_path: Path):
    backups = kept_and_gone_on(house, tmp_path)
    before = state(house)
    restore = Restore.new(backups, anchor(house))
    restore.prepare(backups.find("newest"))
    assert state(house) == before
    restore.switch()
    assert state(house) != before
    restore.roll_back("the test says so")
    assert state(house) == before
    outcome = restore.outcome()
    assert (outcome.in_force, outcome.reason) == ("as before", "the test says so")
    house.tell("third")
    database = Database(house.stores.database)
    assert audit(house, database).verify("default").intact
    database.close()


def test_the_next_restore_takes_away_what_the_last_one_replaced(house: House, tmp_path: Path):
    backups = kept_and_gone_on(house, tmp_path)
    first, second = (Restore.new(backups, anchor(house)) for _ in range(2))
    for restore in (first, second):
        restore.prepare(backups.find("newest"))
        restore.switch()
        restore.finish()
    assert not (first.directory / "before").exists()
    assert (second.directory / "before").exists()
    if not house.stores.is_sqlite("dryad"):
        cluster = house.stores.cluster(house.stores.database)
        waiting = [n for n in cluster.databases() if n.startswith(f"{cluster.database}_before_")]
        assert waiting
        assert all(name.endswith(second.id.replace("-", "_")) for name in waiting)


def killed_at(count: int, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do something in a process that is killed with -9 at its n-th rename; False: it got through.

    An even count kills before the rename, an odd one after it.
    """
    pid = os.fork()
    if pid == 0:
        seen, rename = 0, Places.rename

        def mortal(self: Places, kind: str, old: str, new: str) -> None:
            nonlocal seen
            if seen == count // 2 and count % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(self, kind, old, new)
            if seen == count // 2:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

        monkeypatch.setattr(Places, "rename", mortal)
        act()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def test_killed_at_any_rename_the_state_before_comes_back(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    backups = kept_and_gone_on(house, tmp_path)
    before, moments = state(house), 0
    while True:
        restore = Restore.new(backups, anchor(house))
        restore.prepare(backups.find("newest"))
        if not killed_at(moments, restore.switch, monkeypatch):
            break
        (outcome,) = recover(backups, anchor(house))
        assert (outcome.id, outcome.in_force) == (restore.id, "as before")
        assert state(house) == before, f"killed at moment {moments}"
        assert recover(backups, anchor(house)) == []
        moments += 1
    assert moments >= 6
    assert [row[1] for row in state(house)["audit"]] == ["told", "restored"]
    (outcome,) = recover(backups, anchor(house))
    assert outcome.in_force == "restored"


def test_killed_while_going_back_it_goes_back_all_the_same(
    sqlite_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    backups = kept_and_gone_on(sqlite_house, tmp_path)
    before = state(sqlite_house)
    for moment in range(0, 40, 3):
        restore = Restore.new(backups, anchor(sqlite_house))
        restore.prepare(backups.find("newest"))
        restore.switch()
        if not killed_at(moment, lambda r=restore: r.roll_back("a test"), monkeypatch):
            break
        (outcome,) = recover(backups, anchor(sqlite_house))
        assert outcome.in_force == "as before"
        assert state(sqlite_house) == before
    else:
        pytest.fail("it never got through")
    assert moment > 6


def test_what_was_prepared_and_not_asked_for_goes(sqlite_house: House, tmp_path: Path):
    backups = kept_and_gone_on(sqlite_house, tmp_path)
    asked, unasked = (Restore.new(backups, anchor(sqlite_house)) for _ in range(2))
    for restore in (asked, unasked):
        restore.prepare(backups.find("newest"))
    request(backups, asked.id)
    assert [outcome.id for outcome in recover(backups, anchor(sqlite_house))] == [unasked.id]
    assert not (unasked.directory / "fresh").exists()
    assert asked.journal.last() == "prepared"


def test_a_database_that_a_killed_restore_was_having_made_goes(
    postgres_house: House, tmp_path: Path
):
    """The server may finish making it after the next one has looked."""
    house = postgres_house
    backups = kept_and_gone_on(house, tmp_path)
    prepared = Restore.new(backups, anchor(house))
    prepared.prepare(backups.find("newest"))
    request(backups, prepared.id)
    cluster = house.stores.cluster(house.stores.database)
    cluster.create(f"{cluster.database}_restore_20250101_000000_abcd")
    recover(backups, anchor(house))
    (left,) = cluster.leftovers("restore")
    assert left.endswith(prepared.id.replace("-", "_")), "what waits for the switch stays"


def test_a_request_that_nobody_here_signed_is_refused(sqlite_house: House, tmp_path: Path):
    backups = sqlite_house.backups(tmp_path / "kept")
    assert requested(backups) is None
    file = request_file(sqlite_house.stores.home)
    file.parent.mkdir()
    request(backups, "20260101-000000-abcd")
    assert requested(backups) == "20260101-000000-abcd"
    file.write_text(file.read_text().replace("abcd", "abce"))
    with pytest.raises(Corrupt, match="not signed"):
        requested(backups)
    file.write_text("{")
    with pytest.raises(Corrupt, match="damaged"):
        requested(backups)


def test_a_bad_set_and_a_full_disk_change_nothing(sqlite_house: House, tmp_path: Path):
    backups = kept_and_gone_on(sqlite_house, tmp_path)
    before = state(sqlite_house)
    (found,) = backups.listed()
    assert found.manifest is not None
    file = tmp_path / "kept" / found.id / found.manifest.parts[0].file
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    restore = Restore.new(backups, anchor(sqlite_house))
    with pytest.raises(Corrupt, match="truncated"):
        restore.prepare(found)
    backups.verify(found)
    with pytest.raises(Refused, match="cannot be restored"):
        restore.prepare(backups.find(found.id))
    assert state(sqlite_house) == before
    with pytest.raises(Conflict):
        restore.switch()


def test_the_technology_must_be_the_one_it_was_made_with(
    sqlite_house: House, postgres_server: str, tmp_path: Path
):
    backups = kept_and_gone_on(sqlite_house, tmp_path)
    other = sqlite_house.stores.__class__(
        sqlite_house.stores.home, f"{postgres_server}/nowhere", None, ""
    )
    elsewhere = House(other, sqlite_house.secrets, sqlite_house.clock).backups(tmp_path / "kept")
    with pytest.raises((Refused, Unavailable), match=r"is sqlite|PostgreSQL|pg_"):
        Restore.new(elsewhere, anchor(sqlite_house)).prepare(backups.find("newest"))
