"""How well people review: how long they take, how often they say yes, and who only stamps."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import select

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import CaseRow, VoteRow

STAMPS_AFTER = 10
"""Decisions before anybody is judged by them."""

STAMPS_FROM = 0.95
"""Share of yes from which somebody may only be stamping."""

STAMPS_WITHIN = timedelta(seconds=20)
"""Median time in which nobody has read a question."""


@dataclass(frozen=True)
class Quality:
    """What one reviewer decided in a stretch of time."""

    reviewer: str
    decisions: int
    approval_rate: float
    """Share of approve and edit, in [0, 1]."""
    override_rate: float
    """Share of edit and reject: where the reviewer's judgement changed what would have happened."""
    median_seconds: float
    """From when they could see the question: when it was asked, or the vote before theirs."""
    rubber_stamp: bool
    """Whether nearly all was allowed faster than it can be read."""


class Reviews:
    """Looks back on what reviewers decided."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def quality(
        self, tenant: str | None, *, within: timedelta = timedelta(days=30)
    ) -> list[Quality]:
        """Return each reviewer's figures, by name.

        Args:
            tenant: Whose questions; None: all.
            within: How far back is looked.
        """
        query = (
            select(VoteRow, CaseRow.created)
            .join(CaseRow, CaseRow.id == VoteRow.case)
            .where(VoteRow.at >= self._clock() - within)
            .order_by(VoteRow.case, VoteRow.at)
        )
        if tenant is not None:
            query = query.where(CaseRow.tenant == tenant)
        decided: dict[str, list[tuple[str, float]]] = defaultdict(list)
        with self._database.reading() as session:
            seen: tuple[int, datetime] | None = None
            for vote, asked in session.execute(query).tuples():
                since = seen[1] if seen is not None and seen[0] == vote.case else asked
                seconds = max(0.0, (vote.at - since).total_seconds())
                decided[vote.approver].append((vote.decision, seconds))
                seen = (vote.case, vote.at)
        return [_of(reviewer, decided[reviewer]) for reviewer in sorted(decided)]


def _of(reviewer: str, decided: Sequence[tuple[str, float]]) -> Quality:
    count = len(decided)
    words = [word for word, _ in decided]
    approved = sum(word in {"approve", "edit"} for word in words) / count
    overridden = sum(word in {"edit", "reject"} for word in words) / count
    middle = median(seconds for _, seconds in decided)
    hasty = middle < STAMPS_WITHIN.total_seconds()
    return Quality(
        reviewer=reviewer,
        decisions=count,
        approval_rate=round(approved, 3),
        override_rate=round(overridden, 3),
        median_seconds=round(middle, 1),
        rubber_stamp=count >= STAMPS_AFTER and approved >= STAMPS_FROM and hasty,
    )
