"""Which sets may go: a pure decision, which no clock can spoil."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from dryad.operations.backups.manifest import SetId


@dataclass(frozen=True)
class Keep:
    """How many days, weeks and months are kept, one set each."""

    days: int = 7
    weeks: int = 4
    months: int = 12


@dataclass(frozen=True)
class Standing:
    """What the decision needs to know of a set."""

    id: SetId
    started: datetime
    critical: bool = False
    state: Literal["verified", "unverified", "bad"] = "unverified"


def removable(sets: Iterable[Standing], keep: Keep) -> set[SetId]:
    """Return the sets that may go.

    A day, ISO week or month counts when it has a good set; so of each the newest N that count are
    kept whatever the present time is, and a gap or a wrong clock lets nothing go by itself. Each
    is kept by its newest verified set, else by its newest unverified one. Critical sets stay for
    ever; the newest verified and the newest good set always stay. Bad sets go once a verified one
    is newer. Among sets of the same moment the greater id is the newer one.
    """
    everything = list(sets)
    ranked = sorted(everything, key=lambda one: (one.started, one.id), reverse=True)  # newest first
    good = [one for one in ranked if one.state != "bad"]
    verified = [one for one in good if one.state == "verified"]
    staying = {one.id for one in ranked if one.critical}
    staying |= {one.id for one in (*good[:1], *verified[:1])}
    for period, count in ((_day, keep.days), (_week, keep.weeks), (_month, keep.months)):
        staying |= _kept(good, period, count)
    for one in ranked:
        if one.state == "bad" and not (verified and verified[0].started > one.started):
            staying.add(one.id)
    return {one.id for one in everything} - staying


def latest_day(started: datetime, keep: Keep) -> date:
    """Return the day from which on nothing keeps a set of that moment, while newer ones are made.

    Until then it may be the one that stands for its day, its week or its month.
    """
    day = started.astimezone(UTC).date()
    months = day.year * 12 + day.month - 1 + keep.months
    return max(
        day + timedelta(days=keep.days),
        day - timedelta(days=day.weekday()) + timedelta(weeks=keep.weeks),
        date(months // 12, months % 12 + 1, 1),
    )


def _kept(good: Sequence[Standing], period: Callable[[datetime], object], count: int) -> set[SetId]:
    """Return what keeps the newest `count` periods; `good` is sorted, newest first."""
    newest: dict[object, Standing] = {}
    for one in good:
        of = period(one.started.astimezone(UTC))
        if of not in newest and len(newest) == count:
            break  # sorted: all periods that follow are older
        known = newest.setdefault(of, one)
        if known.state != "verified" and one.state == "verified":
            newest[of] = one
    return {one.id for one in newest.values()}


def _day(moment: datetime) -> object:
    return moment.date()


def _week(moment: datetime) -> object:
    return moment.isocalendar()[:2]


def _month(moment: datetime) -> object:
    return moment.year, moment.month
