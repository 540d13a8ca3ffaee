"""Questions as they stand: one, those of a task, those that wait."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from dryad.foundation.database import Database
from dryad.foundation.database.models import CaseRow, VoteRow
from dryad.foundation.errors import NotFound
from dryad.foundation.ids import TaskId, TenantId
from dryad.orchestration.review.questions import OPEN, Case, case_of
from dryad.orchestration.review.reviewers import Reviewers
from dryad.orchestration.review.talk import messages_of


class CaseReading:
    """Every question of this installation, to look at."""

    def __init__(self, database: Database, reviewers: Reviewers) -> None:
        self._database = database
        self._reviewers = reviewers

    def get(self, tenant: TenantId, case_id: int) -> Case:
        """Return one case.

        Raises:
            NotFound: the tenant has no such case.
        """
        with self._database.reading() as session:
            return self._one(session, self._visible(session, tenant, case_id))

    def open(self, tenant: TenantId | None, *, limit: int = 100) -> list[Case]:
        """Return the cases that wait for an answer, oldest first; `None` is for operators only."""
        query = select(CaseRow).where(CaseRow.status.in_(OPEN))
        if tenant is not None:
            query = query.where(CaseRow.tenant == tenant)
        return self.found(query.order_by(CaseRow.created, CaseRow.id).limit(limit))

    def of_task(self, tenant: TenantId, task: TaskId) -> list[Case]:
        """Return everything that was asked for one task, oldest first."""
        query = select(CaseRow).where(CaseRow.tenant == tenant, CaseRow.task == task)
        return self.found(query.order_by(CaseRow.id))

    def open_at(
        self, tenant: TenantId | None, at: datetime, *, leeway: timedelta, limit: int = 1000
    ) -> set[int]:
        """Return the numbers of the cases that waited at a time in the past, the oldest ones.

        Args:
            tenant: Whose; None is for operators only.
            at: The time.
            leeway: What was closed so shortly before counts as waiting, for it may have been
                written later than its time says.
            limit: The most returned.
        """
        query = select(CaseRow.id).where(
            CaseRow.created <= at, or_(CaseRow.closed.is_(None), CaseRow.closed > at - leeway)
        )
        if tenant is not None:
            query = query.where(CaseRow.tenant == tenant)
        with self._database.reading() as session:
            return set(session.scalars(query.order_by(CaseRow.created, CaseRow.id).limit(limit)))

    def count_open(self) -> int:
        """Return how many questions wait, over all tenants."""
        with self._database.reading() as session:
            query = select(func.count()).select_from(CaseRow).where(CaseRow.status.in_(OPEN))
            return session.execute(query).scalar_one()

    def found(self, query: Select[tuple[CaseRow]]) -> list[Case]:
        """Return the cases a query names."""
        with self._database.reading() as session:
            return self.read(session, session.scalars(query).all())

    def read(self, session: Session, rows: Sequence[CaseRow]) -> list[Case]:
        """Read cases with what was said about them; three queries, however many they are."""
        spoken = [row.id for row in rows if row.status == "in_progress" or row.verdict]
        votes: dict[int, list[VoteRow]] = defaultdict(list)
        wanted = select(VoteRow).where(VoteRow.case.in_(spoken)).order_by(VoteRow.at)
        for vote in session.scalars(wanted) if spoken else ():
            votes[vote.case].append(vote)
        single = self._reviewers.single_user(session)
        talk = messages_of(session, spoken)
        return [
            case_of(
                row, votes[row.id], [(m.sender, m.text) for m in talk[row.id]], single_user=single
            )
            for row in rows
        ]

    def _one(self, session: Session, row: CaseRow) -> Case:
        return self.read(session, [row])[0]

    @staticmethod
    def _visible(session: Session, tenant: TenantId, case_id: int) -> CaseRow:
        row = session.get(CaseRow, case_id)
        if row is None or row.tenant != tenant:
            raise NotFound(f"no question #{case_id}")
        return row
