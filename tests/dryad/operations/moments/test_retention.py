"""What the window lets go, over years of base backups, gaps and wrong clocks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dryad.operations.moments.archive import WalArchive
from dryad.operations.moments.retention import Standing, needed_from, removable

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
HOURS = st.integers(0, 2 * 365 * 24)


def standing(hours: int) -> Standing:
    return Standing(f"{hours:06d}", BEGIN + timedelta(hours=hours), f"{1:08X}{0:08X}{hours:08X}")


BASES = st.lists(st.builds(standing, HOURS), max_size=60, unique_by=lambda one: one.id)
WINDOWS = st.timedeltas(timedelta(minutes=1), timedelta(days=400))


def at(hours: int) -> datetime:
    return BEGIN + timedelta(hours=hours)


def left(bases: list[Standing], now: datetime, window: timedelta) -> list[Standing]:
    going = removable(bases, now, window)
    return [one for one in bases if one.id not in going]


def leads_to(bases: list[Standing], moment: datetime) -> Standing | None:
    """The base a restore begins at: the newest that was whole."""
    fitting = [one for one in bases if one.finished <= moment]
    return max(fitting, key=lambda one: one.finished, default=None)


@given(BASES, HOURS, WINDOWS, st.floats(0, 1))
def test_every_moment_of_the_window_is_reached_as_before(
    bases: list[Standing], now: int, window: timedelta, share: float
):
    kept = left(bases, at(now), window)
    moment = at(now) - window * share
    base = leads_to(bases, moment)
    assert leads_to(kept, moment) == base
    first = needed_from(kept)
    assert base is None or (first is not None and first[8:] <= base.first[8:])


@given(BASES, HOURS, WINDOWS)
def test_the_newest_always_stays_and_each_that_stays_is_needed(
    bases: list[Standing], now: int, window: timedelta
):
    kept = left(bases, at(now), window)
    if bases:
        assert max(bases, key=lambda one: one.finished) in kept
    begin = at(now) - window
    assert all(one.finished > begin or one == leads_to(bases, begin) for one in kept)


@given(BASES, HOURS, HOURS, WINDOWS)
def test_time_only_adds_to_what_goes_and_what_was_pruned_is_pruned(
    bases: list[Standing], one: int, other: int, window: timedelta
):
    early, late = sorted((one, other))
    assert removable(bases, at(early), window) <= removable(bases, at(late), window)
    assert removable(left(bases, at(late), window), at(late), window) == set()


def test_only_what_is_older_goes_whatever_its_timeline(tmp_path: Path):
    older = [
        "000000010000000000000004",
        "000000010000000000000003.00000028.backup",
        "000000010000000000000002.partial",
        "000000020000000000000004",
        "000000010000000000000003.new",
    ]
    staying = [
        "000000010000000000000005",
        "000000010000000100000001",
        "000000010000000000000005.00000028.backup",
        "00000002.history",
        "notes.txt",
    ]
    for name in (*older, *staying):
        (tmp_path / name).write_bytes(b"12345")
    archive = WalArchive(tmp_path, None)
    found = archive.before("000000010000000000000005")
    assert set(found.names) == set(older)
    assert found.bytes == 25
    archive.remove(found)
    archive.remove(found)
    assert {path.name for path in tmp_path.iterdir()} == set(staying)
