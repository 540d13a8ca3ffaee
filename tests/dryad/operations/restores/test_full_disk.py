"""A disk that is full in the middle of the work: an expected refusal, and nothing half-written."""

import resource
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dryad.foundation.errors import Unavailable
from dryad.operations.backups.making import Purpose
from dryad.operations.restores.restore import Restore, recover
from tests.dryad.operations.conftest import House
from tests.dryad.operations.restores.test_restore import anchor, state

MEGABYTE = 1 << 20


@contextmanager
def full_after(size: int) -> Generator[None]:
    """Let the system refuse to write more than `size` bytes into any one file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def heavy(house: House) -> House:
    """An installation with a file that no longer packs."""
    (house.stores.home / "workspaces" / "big").write_bytes(secrets.token_bytes(4 * MEGABYTE))
    return house


def leftovers(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_keeping_on_a_full_disk_is_refused_and_leaves_no_set(heavy: House, tmp_path: Path):
    backups = heavy.backups(tmp_path / "kept")
    whole = backups.create(Purpose()).manifest.id
    before = state(heavy)
    with full_after(2 * MEGABYTE), pytest.raises(Unavailable, match="no target takes the set"):
        backups.create(Purpose())
    assert leftovers(tmp_path / "kept") == [whole]
    assert not list((heavy.stores.home / "scratch").glob("*"))
    assert state(heavy) == before
    assert backups.create(Purpose()).failed == {}, "and goes on when there is room again"


def test_restoring_on_a_full_disk_changes_nothing(heavy: House, tmp_path: Path):
    backups = heavy.backups(tmp_path / "kept")
    backups.create(Purpose())
    heavy.tell("later")
    before = state(heavy)
    restore = Restore.new(backups, anchor(heavy))
    with full_after(2 * MEGABYTE), pytest.raises(Unavailable, match="could not be"):
        restore.prepare(backups.find("newest"))
    assert state(heavy) == before
    assert not (restore.directory / "fresh").exists()
    assert recover(backups, anchor(heavy)) == []
    if not heavy.stores.is_sqlite("dryad"):
        cluster = heavy.stores.cluster(heavy.stores.database)
        assert not [n for n in cluster.databases() if n.startswith(f"{cluster.database}_restore")]


def test_verifying_on_a_full_disk_says_nothing_of_the_set(heavy: House, tmp_path: Path):
    backups = heavy.backups(tmp_path / "kept")
    backups.create(Purpose())
    with full_after(2 * MEGABYTE), pytest.raises(Unavailable, match="could not be"):
        backups.verify(backups.find("newest"))
    assert backups.find("newest").state == "unverified"
    assert not list((heavy.stores.home / "scratch").glob("*"))
    assert backups.verify(backups.find("newest")).good
