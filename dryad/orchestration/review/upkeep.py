"""What the keeper does about questions that nobody looks at: expire, wake, clear away."""

from collections.abc import Callable

from sqlalchemy import select, update

from dryad.foundation.clock import Clock
from dryad.foundation.database import Database
from dryad.foundation.database.models import CaseRow, TaskRow
from dryad.foundation.ids import TaskId
from dryad.orchestration.review.ballot import Ballot
from dryad.orchestration.review.questions import OPEN, Case
from dryad.orchestration.review.reading import CaseReading
from dryad.orchestration.review.verdicts import Verdict
from dryad.orchestration.standing import ENDS


class Upkeep:
    """Closes what nobody answers and what nobody needs answered any more."""

    def __init__(
        self,
        database: Database,
        cases: CaseReading,
        ballot: Ballot,
        *,
        hear: Callable[[int], None],
        clock: Clock,
    ) -> None:
        """Hand over the stores.

        Args:
            database: The ledger.
            cases: Reads them.
            ballot: Closes them.
            hear: Judges the answer that lies stored for one of them.
            clock: Tells the time.
        """
        self._database = database
        self._cases = cases
        self._ballot = ballot
        self._hear = hear
        self._clock = clock

    def expire(self, *, limit: int = 200) -> list[Case]:
        """Close what is past its deadline as rejected; judge what lies stored first."""
        with self._database.reading() as session:
            late = session.scalars(
                select(CaseRow.id)
                .where(CaseRow.status.in_(OPEN), CaseRow.due <= self._clock())
                .order_by(CaseRow.due)
                .limit(limit)
            ).all()
        closed: list[Case] = []
        for case_id in late:
            self._hear(case_id)
            with self._database.transaction() as session:
                row = session.get_one(CaseRow, case_id, with_for_update=True)
                if row.verdict is None:
                    self._ballot.lapse(session, row)
                closed.append(self._cases.read(session, [row])[0])
        return closed

    def awaiting_wake(self, *, limit: int = 200) -> list[Case]:
        """Return closed cases whose run was not yet seen to go on."""
        return self._cases.found(
            select(CaseRow)
            .where(CaseRow.closed.is_not(None), CaseRow.woken.is_(None))
            .where(CaseRow.status != "cancelled")
            .order_by(CaseRow.closed)
            .limit(limit)
        )

    def woken(self, case_id: int) -> None:
        """Note that the run has gone on, or will never."""
        with self._database.transaction() as session:
            session.execute(
                update(CaseRow)
                .where(CaseRow.id == case_id, CaseRow.woken.is_(None))
                .values(woken=self._clock())
            )

    def cancel(self, task: TaskId, *, reason: str) -> None:
        """Close every open or held case of a task that will not go on."""
        with self._database.transaction() as session:
            for row in session.scalars(
                select(CaseRow).where(CaseRow.task == task, CaseRow.status.in_((*OPEN, "held")))
            ):
                at = self._clock().isoformat()
                verdict = Verdict("reject", reason, "dryad", "deadline", at)
                self._ballot.close(session, row, verdict, status="cancelled")

    def forsaken(self) -> list[TaskId]:
        """Return ended tasks about which something is still asked: who ended them was killed."""
        query = (
            select(CaseRow.task)
            .join(TaskRow, TaskRow.id == CaseRow.task)
            .where(CaseRow.status.in_(OPEN), TaskRow.status.in_(ENDS))
            .distinct()
        )
        with self._database.reading() as session:
            return [TaskId(task) for task in session.scalars(query)]
