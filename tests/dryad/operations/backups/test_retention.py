"""What the retention may let go, over years of gaps, wrong clocks and bad sets."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dryad.operations.backups.retention import Keep, Standing, latest_day, removable

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)


def standing(hours: int, **more: object) -> Standing:
    return Standing(f"{hours:06d}", BEGIN + timedelta(hours=hours), **more)  # type: ignore[arg-type]


STATES = st.sampled_from(["verified", "unverified", "bad"])
SETS = st.lists(
    st.builds(
        standing,
        st.integers(0, 3 * 365 * 24),
        critical=st.sampled_from([False, False, False, True]),
        state=STATES,
    ),
    max_size=150,
    unique_by=lambda one: one.id,
)


def left(sets: list[Standing], keep: Keep | None = None) -> list[Standing]:
    going = removable(sets, keep or Keep())
    return [one for one in sets if one.id not in going]


def test_three_years_of_two_sets_a_day_leave_seven_days_four_weeks_and_twelve_months():
    sets = [standing(12 * half) for half in range(3 * 365 * 2)]
    kept = left(sets)
    days = sorted({one.started.date() for one in kept})
    assert len(kept) == len(days)  # one a day
    newest = sets[-1].started.date()
    assert days[-7:] == [newest - timedelta(days=n) for n in range(6, -1, -1)]
    assert len({one.started.isocalendar()[:2] for one in kept}) >= 4
    assert len({(one.started.year, one.started.month) for one in kept}) == 12
    assert 7 + 3 + 10 <= len(kept) <= 7 + 4 + 12


@given(SETS)
def test_critical_sets_and_the_newest_good_ones_always_stay(sets: list[Standing]):
    kept = {one.id for one in left(sets)}
    assert {one.id for one in sets if one.critical} <= kept
    for states in ({"verified"}, {"verified", "unverified"}):
        good = [one for one in sets if one.state in states]
        if good:
            assert max(good, key=lambda one: (one.started, one.id)).id in kept


@given(SETS)
def test_no_period_loses_a_verified_set_for_an_unverified_one(sets: list[Standing]):
    kept = {one.id for one in left(sets)}
    newest = max(
        (o for o in sets if o.state != "bad"), key=lambda o: (o.started, o.id), default=None
    )
    for one in sets:
        if one.id in kept and one.state == "unverified" and not one.critical and one != newest:
            rivals = [o for o in sets if o.started.date() == one.started.date()]
            assert not any(o.state == "verified" and o.id not in kept for o in rivals)


@given(SETS, st.randoms())
def test_the_order_in_which_targets_list_them_does_not_matter(
    sets: list[Standing], chance: random.Random
):
    shuffled = chance.sample(sets, len(sets))
    assert removable(sets, Keep()) == removable(shuffled, Keep())


@given(SETS)
def test_what_was_pruned_once_is_pruned(sets: list[Standing]):
    once = left(sets)
    assert left(once) == once


@given(SETS)
def test_a_bad_set_goes_only_when_a_verified_one_is_newer(sets: list[Standing]):
    kept = {one.id for one in left(sets)}
    for one in sets:
        if one.state == "bad" and one.id not in kept:
            assert any(o.state == "verified" and o.started > one.started for o in sets)


@given(SETS, st.integers(1, 400))
def test_after_a_gap_everything_that_was_kept_is_kept_still(sets: list[Standing], gap_days: int):
    """A single set after a long silence drops at most one period of each kind."""
    kept = left(sets)
    if not kept:
        return
    newest = max(one.started for one in kept)
    late = Standing("zzzzzz", newest + timedelta(days=gap_days))
    assert len(left([*kept, late])) >= len(kept) + 1 - 3


def test_a_year_s_clock_jump_leaves_the_real_sets():
    """Sets dated a year ahead push out at most as many periods as they fill."""
    real = [standing(24 * day) for day in range(30)]
    ahead = [standing(24 * (365 + day)) for day in range(2)]
    kept = left([*real, *ahead])
    assert sum(one in real for one in kept) >= 5


def test_a_set_is_gone_by_the_day_that_was_named():
    sets = [standing(12 * half) for half in range(3 * 365 * 2)]
    keep = Keep(days=3, weeks=2, months=2)
    for count in range(1, len(sets), 37):
        now = sets[count - 1].started
        for one in left(sets[:count], keep):
            assert now.date() <= latest_day(one.started, keep)
    assert latest_day(BEGIN, Keep(days=1, weeks=0, months=0)) == BEGIN.date() + timedelta(days=1)
    assert latest_day(BEGIN, Keep()) == datetime(2026, 1, 1, tzinfo=UTC).date()
