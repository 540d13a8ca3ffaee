"""Which base backups no moment of the window needs any more: a pure decision."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dryad.operations.backups.manifest import SetId


@dataclass(frozen=True)
class Standing:
    """What the decision needs to know of a base backup."""

    id: SetId
    finished: datetime
    """From here on it leads to moments."""
    first: str
    """The first WAL segment it needs."""


def removable(bases: Iterable[Standing], now: datetime, window: timedelta) -> set[SetId]:
    """Return the base backups that may go.

    A replay begins at the newest base before its moment. So what stays is every base inside the
    window, and the newest one before it, which leads to the window's first moments; hence the
    newest of all always stays, whatever a clock says.
    """
    everything = list(bases)
    begin = now - window
    anchor = max((one for one in everything if one.finished <= begin), key=_newness, default=None)
    if anchor is None:
        return set()
    return {one.id for one in everything if _newness(one) < _newness(anchor)}


def needed_from(bases: Sequence[Standing]) -> str | None:
    """Return the oldest WAL segment that any of these bases needs; None: there is no base.

    The timeline, its first eight digits, says nothing about which is older.
    """
    return min((one.first for one in bases), key=lambda name: name[8:], default=None)


def _newness(one: Standing) -> tuple[datetime, SetId]:
    return one.finished, one.id
