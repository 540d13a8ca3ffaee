"""Nobody changes the record unseen, and many who write at once never break it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

from dryad.foundation import logs
from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.errors import InvalidRequest
from tests.crowd import crowd

KEY = b"k" * 32


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    return tmp_path / "heads"


@pytest.fixture
def audit(database: Database, anchor: Path) -> Audit:
    return Audit(database, KEY, anchor)


def write_ten(audit: Audit) -> None:
    for number in range(1, 11):
        audit.append(
            "acme", "configuration_changed", actor="ann", subject=f"s{number}", data={"n": number}
        )


def tamper(database: Database, *statements: str) -> None:
    with database.transaction() as session:
        for statement in statements:
            session.execute(text(statement))


def anchored(anchor: Path) -> int:
    return orjson.loads((anchor / "acme.json").read_bytes())["sequence"]


def test_what_happened_is_exported_as_it_was_said(database: Database, anchor: Path):
    noon = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
    audit = Audit(database, KEY, anchor, clock=lambda: noon)
    data = {"f": 0.1, "big": 2**60, "text": "ü\u2028", "list": [None, True, {"a": noon}]}
    assert audit.append("acme", "deployed", actor="ann", subject="v1", data=data) == 1
    assert audit.append("acme", "maintenance", actor="bob", subject="v1") == 2
    first, second = audit.export("acme")
    assert (first["actor"], first["event"], first["subject"], first["at"]) == (
        "ann", "deployed", "v1", noon,
    )  # fmt: skip
    assert first["data"]["list"] == [None, True, {"a": "2026-01-01T12:00:00.000005Z"}]
    assert (second["sequence"], second["previous"]) == (2, first["mac"])
    assert audit.verify("acme").intact


def test_a_whole_chain_is_intact_and_anchored(audit: Audit, anchor: Path):
    write_ten(audit)
    found = audit.verify("acme")
    assert (found.rows, found.bad, found.unanchored) == (10, None, 0)
    assert anchored(anchor) == 10
    assert [file.name for file in anchor.iterdir()] == ["acme.json"]


def test_every_tenant_has_a_chain_of_its_own(audit: Audit):
    write_ten(audit)
    assert audit.append("globex", "deployed", actor="a", subject="s") == 1
    assert audit.verify("globex").rows == 1
    assert audit.verify("nobody").intact


TAMPERINGS = {
    "an edited value": (["UPDATE audit SET data = '{\"n\": 5}' WHERE sequence = 4"], 4),
    "an edited actor": (["UPDATE audit SET actor = 'eve' WHERE sequence = 7"], 7),
    "an edited time": (["UPDATE audit SET at = '2020-01-01 00:00:00' WHERE sequence = 2"], 2),
    "a deleted row": (["DELETE FROM audit WHERE sequence = 6"], 6),
    "a deleted first row": (["DELETE FROM audit WHERE sequence = 1"], 1),
    "a deleted row, closed up": (
        [
            "DELETE FROM audit WHERE sequence = 9",
            "UPDATE audit SET sequence = 9 WHERE sequence = 10",
        ],
        9,
    ),
    "two rows in each other's place": (
        [
            "UPDATE audit SET sequence = -1 WHERE sequence = 3",
            "UPDATE audit SET sequence = 3 WHERE sequence = 4",
            "UPDATE audit SET sequence = 4 WHERE sequence = -1",
        ],
        3,
    ),
    "a cut end": (["DELETE FROM audit WHERE sequence > 8"], 9),
    "nothing left": (["DELETE FROM audit"], 1),
    "a row from another tenant": (
        [
            "DELETE FROM audit WHERE sequence = 5",
            "UPDATE audit SET tenant = 'acme', sequence = 5 WHERE tenant = 'globex'",
        ],
        5,
    ),
    "an inserted row": (
        [
            """INSERT INTO audit SELECT tenant, 11, at, actor, event, subject, data, mac, mac
            FROM audit WHERE sequence = 10"""
        ],
        11,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERINGS)
def test_the_first_row_that_was_tampered_with_is_named(audit: Audit, database: Database, what: str):
    write_ten(audit)
    audit.append("globex", "deployed", actor="a", subject="s")
    statements, bad = TAMPERINGS[what]
    tamper(database, *statements)
    found = audit.verify("acme")
    assert not found.intact
    assert (found.bad, found.rows) == (bad, bad - 1)
    assert str(bad) in found.reason


def test_a_chain_forged_with_the_key_still_contradicts_the_anchor(
    audit: Audit, database: Database, tmp_path: Path
):
    write_ten(audit)
    tamper(database, "DELETE FROM audit")
    write_ten(Audit(database, KEY, tmp_path / "elsewhere"))
    assert audit.verify("acme").bad == 10


@pytest.mark.parametrize("left", [0, 8, 9])
def test_appending_after_a_cut_does_not_hide_it(
    audit: Audit, database: Database, anchor: Path, left: int
):
    write_ten(audit)
    tamper(database, f"DELETE FROM audit WHERE sequence > {left}")
    for _ in range(5):
        audit.append("acme", "deployed", actor="a", subject="s")
    assert anchored(anchor) == 10
    found = audit.verify("acme")
    assert found.bad == min(10, left + 5 + 1)


def test_another_key_accepts_nothing(audit: Audit, database: Database, anchor: Path):
    write_ten(audit)
    assert Audit(database, b"x" * 32, anchor).verify("acme").bad == 1


def test_an_event_and_its_effect_are_kept_together_or_not_at_all(
    audit: Audit, database: Database, anchor: Path
):
    audit.append("acme", "deployed", actor="a", subject="before")

    def stopped() -> None:
        with database.transaction() as session:
            audit.append("acme", "deployed", actor="a", subject="lost", session=session)
            session.flush()
            raise InvalidRequest("stop")

    with pytest.raises(InvalidRequest):
        stopped()
    assert anchored(anchor) == 1
    with database.transaction() as session:
        audit.append("acme", "deployed", actor="a", subject="one", session=session)
        audit.append("acme", "deployed", actor="a", subject="two", session=session)
        assert anchored(anchor) == 1
    assert anchored(anchor) == 3
    assert [row["subject"] for row in audit.export("acme")] == ["before", "one", "two"]


def test_what_a_savepoint_takes_back_is_never_anchored(
    audit: Audit, database: Database, anchor: Path
):
    with database.transaction() as session:
        audit.append("acme", "deployed", actor="a", subject="kept", session=session)
        with session.begin_nested() as savepoint:
            audit.append("acme", "deployed", actor="a", subject="lost", session=session)
            savepoint.rollback()
        with session.begin_nested():
            audit.append("acme", "deployed", actor="a", subject="kept", session=session)
        assert not anchor.exists()
    assert anchored(anchor) == 2
    assert audit.verify("acme").rows == 2


def test_rows_the_anchor_missed_are_counted_and_anchored_by_the_next(
    audit: Audit, database: Database, anchor: Path, tmp_path: Path
):
    audit.append("acme", "deployed", actor="a", subject="s")
    kept = shutil.copytree(anchor, tmp_path / "copy")
    write_ten(audit)
    shutil.copytree(kept, anchor, dirs_exist_ok=True)  # as if the process died in between
    assert audit.verify("acme").unanchored == 10
    audit.append("acme", "deployed", actor="a", subject="s")
    assert audit.verify("acme").unanchored == 0


def test_a_restored_ledger_is_accepted_on_record(audit: Audit, database: Database, anchor: Path):
    write_ten(audit)
    tamper(database, "DELETE FROM audit WHERE sequence > 8")
    assert audit.accept("acme", actor="ann", reason="backup of Monday") == 9
    found = audit.verify("acme")
    assert (found.rows, found.intact, found.unanchored) == (9, True, 0)
    last = list(audit.export("acme"))[-1]
    assert (last["event"], last["data"]["bad"]) == ("audit_accepted", 9)
    assert anchored(anchor) == 9


def test_an_anchor_that_cannot_be_written_is_told_and_does_not_lose_the_row(
    audit: Audit, anchor: Path, tmp_path: Path
):
    logs.configure(tmp_path / "logs", component="test")
    anchor.symlink_to(anchor.parent / "not" / "mounted")
    audit.append("acme", "deployed", actor="a", subject="s")
    assert "audit_not_anchored" in (tmp_path / "logs" / "gremlins_app.log").read_text()
    anchor.unlink()
    assert audit.verify("acme").unanchored == 1


def test_an_anchor_must_be_a_directory(database: Database, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="not a directory"):
        Audit(database, KEY, tmp_path / "file")


def test_a_damaged_anchor_is_reported_and_kept(audit: Audit, anchor: Path):
    write_ten(audit)
    (anchor / "acme.json").write_text("{")
    audit.append("acme", "deployed", actor="a", subject="s")
    assert "damaged" in audit.verify("acme").reason
    assert (anchor / "acme.json").read_text() == "{"
    audit.accept("acme", actor="ann", reason="disk replaced")
    assert audit.verify("acme").intact


@pytest.mark.parametrize("wrong", [{"event": ""}, {"event": "e" * 65}, {"data": {"x": {1, 2}}}])
def test_what_cannot_be_stored_is_refused(audit: Audit, wrong: dict[str, object]):
    values = {"event": "deployed", "actor": "a", "subject": "s"} | wrong
    with pytest.raises(InvalidRequest):
        audit.append("acme", **values)
    with pytest.raises(InvalidRequest):
        audit.append("../etc", "deployed", actor="a", subject="s")
    assert list(audit.export("acme")) == []


def test_a_chain_longer_than_a_page_is_followed_to_its_end(audit: Audit, database: Database):
    with database.transaction() as session:
        for _ in range(1002):
            audit.append("acme", "deployed", actor="a", subject="s", session=session)
    assert audit.verify("acme").rows == sum(1 for _ in audit.export("acme")) == 1002
    tamper(database, "UPDATE audit SET subject = 't' WHERE sequence = 1001")
    assert audit.verify("acme").bad == 1001


EACH = 25


def append_many(url: str, anchor: str) -> int:
    audit = Audit(Database(url), KEY, Path(anchor))
    for number in range(EACH):
        audit.append("acme", "deployed", actor="crowd", subject=str(number))
    return EACH


def test_six_processes_appending_at_once_lose_nothing_and_break_nothing(
    audit: Audit, database: Database, anchor: Path
):
    url = database.url.render_as_string(hide_password=False)
    ended = crowd(6, f"{__name__}:append_many", url, anchor)
    assert [e.complained for e in ended if e.status] == []
    found = audit.verify("acme")
    assert (found.rows, found.bad, found.unanchored) == (6 * EACH, None, 0)
    subjects = sorted(int(row["subject"]) for row in audit.export("acme"))
    assert subjects == sorted(list(range(EACH)) * 6)
