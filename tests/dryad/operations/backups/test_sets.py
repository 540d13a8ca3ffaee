"""A set is whole, visible at once, and says by name what is wrong with it."""

import fcntl
import io
import os
import tarfile
import threading
from pathlib import Path
from typing import IO

import pytest

from dryad.foundation.errors import (
    Conflict,
    Corrupt,
    InvalidRequest,
    NotFound,
    Refused,
    Unavailable,
)
from dryad.foundation.secrets import Secrets
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.opening import unpack_files
from dryad.operations.backups.sets import Backups
from dryad.operations.backups.targets import DirectoryTarget
from tests.dryad.operations.conftest import House
from tests.servers import wait_for


def problems(backups: Backups) -> str:
    return "; ".join(backups.verify(backups.listed()[0]).problems)


def flip(file: Path, where: int) -> None:
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    file.write_bytes(data)


def test_a_set_holds_both_databases_the_files_and_the_settings(house: House, tmp_path: Path):
    backups = house.backups(tmp_path / "kept")
    made = backups.create(Purpose(reason="a test"))
    assert [part.name for part in made.manifest.parts] == ["dryad", "prefect", "files", "settings"]
    dryad, prefect, files, _ = made.manifest.parts
    assert dryad.counts["audit"] == dryad.counts["tenants"] == 1
    assert dryad.positions["audit"]["default"][0] == 1
    assert prefect.counts == {
        "automation": 1, "deployment_schedule": 1, "flow_run": 3, "flow_run_state": 0
    }  # fmt: skip
    assert files.counts["files"] == 2
    assert [(one.id, one.state) for one in backups.listed()] == [(made.manifest.id, "unverified")]


def test_a_good_set_is_verified_and_leaves_nothing_behind(house: House, tmp_path: Path):
    backups = house.backups(tmp_path / "kept")
    backups.create(Purpose())
    assert problems(backups) == ""
    assert backups.listed()[0].state == "verified"
    assert list((house.stores.home / "scratch").iterdir()) == []


def test_what_a_killed_verification_left_on_the_server_goes_with_the_next(
    postgres_house: House, tmp_path: Path
):
    cluster = postgres_house.stores.cluster(postgres_house.stores.database)
    left, foreign = f"{cluster.database}_verify_0000", f"other{cluster.database}_verify_0000"
    for name in (left, foreign):
        cluster.create(name)
    backups = postgres_house.backups(tmp_path / "kept")
    backups.create(Purpose())
    assert problems(backups) == ""
    there = {name for name in cluster.databases() if "_verify_" in name}
    assert left not in there
    assert foreign in there
    cluster.drop(foreign)


def test_no_secret_leaves_the_machine(sqlite_house: House, tmp_path: Path):
    backups = sqlite_house.backups(tmp_path / "kept")
    found = backups.create(Purpose())
    files = found.manifest.part("files")
    assert files is not None
    assert files.counts == {"files": 2, "folders": 3}  # workspaces, run-1, prefect; no secrets
    text = b"".join(file.read_bytes() for file in (tmp_path / "kept").rglob("*.*"))
    assert b"report.md" not in text
    assert b"DRYAD_HOST" not in text


@pytest.mark.parametrize("part", ["dryad", "prefect", "files", "settings"])
def test_bit_rot_truncation_and_a_missing_part_are_named(
    sqlite_house: House, tmp_path: Path, part: str
):
    backups = sqlite_house.backups(tmp_path / "kept")
    made = backups.create(Purpose())
    named = next(p for p in made.manifest.parts if p.name == part)
    file = tmp_path / "kept" / made.manifest.id / named.file
    whole = file.read_bytes()
    flip(file, len(whole) // 2)
    assert f"part {part} of set" in problems(backups)
    assert "bit rot" in problems(backups)
    file.write_bytes(whole[:-10])
    assert "truncated" in problems(backups)
    file.write_bytes(whole + b"x")
    assert "added at its end" in problems(backups)
    file.unlink()
    assert "a part is missing" in problems(backups)
    assert backups.listed()[0].state == "bad"
    file.write_bytes(whole)
    assert problems(backups) == ""


def test_a_changed_manifest_is_named_and_never_believed(sqlite_house: House, tmp_path: Path):
    backups = sqlite_house.backups(tmp_path / "kept")
    made = backups.create(Purpose())
    file = tmp_path / "kept" / made.manifest.id / "manifest.json"
    file.write_text(file.read_text().replace('"flow_run": 3', '"flow_run": 4'))
    assert (backups.listed()[0].state, backups.listed()[0].manifest) == ("bad", None)
    assert "was changed" in problems(backups)
    file.write_text("{")
    assert "not JSON" in problems(backups)


def test_a_set_under_another_name_is_not_believed(sqlite_house: House, tmp_path: Path):
    backups = sqlite_house.backups(tmp_path / "kept")
    made = backups.create(Purpose())
    (tmp_path / "kept" / made.manifest.id).rename(tmp_path / "kept" / "20260101-000000-abcd")
    assert "mixed up" in backups.listed()[0].why


def test_a_set_of_another_key_is_foreign_and_never_touched(sqlite_house: House, tmp_path: Path):
    made = sqlite_house.backups(tmp_path / "kept").create(Purpose())
    Secrets.create_or_read(tmp_path / "other")
    stranger = Backups(sqlite_house.stores, [DirectoryTarget(tmp_path / "kept")],
                       tmp_path / "other", versions=dict)  # fmt: skip
    (found,) = stranger.listed()
    assert (found.id, found.state) == (made.manifest.id, "foreign")
    with pytest.raises(Refused, match="sealed for the key age1"):
        stranger.verify(found)
    assert stranger.outdated() == []


def test_two_targets_hold_the_same_and_one_that_fails_is_named(sqlite_house: House, tmp_path: Path):
    class Full(DirectoryTarget):
        def write(self, set_id: str, file: str) -> IO[bytes]:
            if file.startswith("files"):
                raise OSError(28, "No space left on device")
            return super().write(set_id, file)

    backups = sqlite_house.backups(tmp_path / "one", Full(tmp_path / "two"), tmp_path / "three")
    made = backups.create(Purpose())
    assert list(made.failed) == [str(tmp_path / "two")]
    assert "No space left" in made.failed[str(tmp_path / "two")]
    assert list((tmp_path / "two").iterdir()) == []
    assert [target.name for target in backups.listed()[0].targets] == [
        str(tmp_path / "one"),
        str(tmp_path / "three"),
    ]
    flip(tmp_path / "three" / made.manifest.id / made.manifest.parts[0].file, 500)
    assert f"in {tmp_path / 'three'}: bit rot" in problems(backups)


def test_a_set_no_target_takes_is_not_made(sqlite_house: House, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="no target takes the set"):
        sqlite_house.backups(tmp_path / "file").create(Purpose())
    with pytest.raises(InvalidRequest, match="there is no backup target"):
        sqlite_house.backups().create(Purpose())


def test_too_little_room_is_refused_before_the_first_byte(sqlite_house: House, tmp_path: Path):
    class Small(DirectoryTarget):
        def free_bytes(self) -> int:
            return 1000

    with pytest.raises(Unavailable, match="a set may need"):
        sqlite_house.backups(Small(tmp_path / "kept")).create(Purpose())
    assert not (tmp_path / "kept").exists()


def test_what_a_killed_maker_left_is_invisible_and_cleared(sqlite_house: House, tmp_path: Path):
    backups = sqlite_house.backups(tmp_path / "kept")
    (tmp_path / "kept" / ".partial-20250101-000000-abcd").mkdir(parents=True)
    (tmp_path / "kept" / ".going-20250101-000001-abcd").mkdir()
    assert backups.listed() == []
    made = backups.create(Purpose())
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [made.manifest.id]


def test_only_one_works_at_a_time(sqlite_house: House, tmp_path: Path):
    backups = sqlite_house.backups(tmp_path / "kept")
    lock = sqlite_house.stores.home / "run" / "backup.lock"
    lock.parent.mkdir()
    handle = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(Conflict, match="at work"):
        backups.create(Purpose())
    os.close(handle)
    backups.create(Purpose())


def test_a_critical_set_needs_a_reason():
    with pytest.raises(InvalidRequest, match="needs a reason"):
        Purpose(critical=True, reason="  ")


def test_writers_never_stop_and_every_set_is_of_one_moment(house: House, tmp_path: Path):
    """While somebody appends to the chain, each set holds a whole chain."""
    backups = house.backups(tmp_path / "kept")
    stop, told = threading.Event(), 0

    def write() -> None:
        nonlocal told
        while not stop.is_set():
            house.tell(f"row {told}")
            told += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            before = told
            made = backups.create(Purpose())
            dryad = made.manifest.parts[0]
            assert dryad.counts["audit"] == dryad.positions["audit"]["default"][0]
            wait_for("another row", lambda before=before: told > before)
            assert problems(backups) == ""
    finally:
        stop.set()
        writer.join()


def test_sets_are_found_by_the_beginning_of_their_name(sqlite_house: House, tmp_path: Path):
    backups = sqlite_house.backups(tmp_path / "kept")
    first, second = (backups.create(Purpose()).manifest.id for _ in range(2))
    assert backups.find("newest").id == second
    assert backups.find(first[:-2]).id == first
    with pytest.raises(InvalidRequest, match="fits 2 sets"):
        backups.find("20251013")
    with pytest.raises(NotFound):
        backups.find("2024")


def test_pruning_removes_what_the_retention_lets_go(sqlite_house: House, tmp_path: Path):
    backups = sqlite_house.backups(tmp_path / "kept")
    old, new = (backups.create(Purpose()).manifest.id for _ in range(2))  # of the same day
    assert [one.id for one in backups.outdated()] == [old]
    assert backups.remove([new]) == []
    assert backups.remove([old, new]) == [old]
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [new]


@pytest.mark.parametrize("name", ["../out", "/etc/out", "link"])
def test_an_archive_that_leads_outside_is_refused(tmp_path: Path, name: str):
    entry = tarfile.TarInfo(name)
    if name == "link":
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "archive.tar", "w:") as packed:
        packed.addfile(entry, io.BytesIO())
    with pytest.raises(Corrupt, match="in the archive"):
        unpack_files(tmp_path / "archive.tar", tmp_path / "place")
    assert list((tmp_path / "place").iterdir()) == []
