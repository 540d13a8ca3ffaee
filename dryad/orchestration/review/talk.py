"""What people say about an open question before it is decided, and when they are reminded of it."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import CaseMessageRow, CaseRow
from dryad.foundation.errors import Conflict, InvalidRequest, LimitExceeded, NotFound
from dryad.foundation.ids import TaskId, TenantId
from dryad.orchestration.review.questions import OPEN

MOST_MESSAGES = 200
LONGEST = 4_000
"""Characters of one message."""

REMINDS_WITHIN = 0.25
"""A reminder is given when so much of the time to answer is left."""


@dataclass(frozen=True)
class Message:
    """One message about a question."""

    sequence: int
    sender: str
    text: str
    at: datetime


@dataclass(frozen=True)
class Due:
    """A question that nobody has answered and that soon counts as no."""

    case: int
    tenant: TenantId
    task: TaskId
    due: datetime


class Talk:
    """Messages about questions. They allow nothing: only an answer does."""

    def __init__(self, database: Database, audit: Audit, clock: Clock = utc_now) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def say(self, tenant: TenantId, case: int, text: str, *, by: str) -> Message:
        """Add a message to an open question; the first one says that somebody looks at it.

        Raises:
            NotFound: the tenant has no such question.
            Conflict: it is closed.
            InvalidRequest: there is no text, or too much.
            LimitExceeded: too much was said about it already.
        """
        if not text.strip() or len(text) > LONGEST:
            raise InvalidRequest(f"a message has 1 to {LONGEST} characters")
        with self._database.transaction() as session:
            row = session.get(CaseRow, case, with_for_update=True)
            if row is None or row.tenant != tenant:
                raise NotFound(f"no question #{case}")
            if row.status not in OPEN:
                raise Conflict(f"question #{case} is closed", f"`dryad inbox show {case}`")
            last = session.scalar(
                select(func.max(CaseMessageRow.sequence)).where(CaseMessageRow.case == case)
            )
            if (last or 0) >= MOST_MESSAGES:
                raise LimitExceeded(f"{MOST_MESSAGES} messages about question #{case} are enough")
            said = CaseMessageRow(
                case=case, sequence=(last or 0) + 1, sender=by, text=text.strip(), at=self._clock()
            )
            session.add(said)
            row.status = "in_progress"
            self._audit.append(
                tenant, "question_discussed", actor=by, subject=row.task,
                data={"case": case, "message": said.sequence}, session=session,
            )  # fmt: skip
            return _message(said)

    def of(self, case: int) -> list[Message]:
        """Return what was said about a question, in order."""
        with self._database.reading() as session:
            return messages_of(session, [case])[case]

    def remind(self, *, limit: int = 200) -> list[Due]:
        """Return the questions whose time is nearly over, each once."""
        now = self._clock()
        with self._database.transaction() as session:
            rows = session.scalars(
                select(CaseRow)
                .where(CaseRow.status.in_(OPEN), CaseRow.reminded.is_(None), CaseRow.due > now)
                .order_by(CaseRow.due)
                .limit(limit)
            ).all()
            near = [r for r in rows if r.due - now <= (r.due - r.created) * REMINDS_WITHIN]
            session.execute(
                update(CaseRow).where(CaseRow.id.in_([r.id for r in near])).values(reminded=now)
            )
            return [Due(r.id, TenantId(r.tenant), TaskId(r.task), r.due) for r in near]


def messages_of(session: Session, cases: Collection[int]) -> dict[int, list[Message]]:
    """Return what was said about some questions, in order."""
    found: dict[int, list[Message]] = defaultdict(list)
    wanted = select(CaseMessageRow).where(CaseMessageRow.case.in_(cases))
    order = (CaseMessageRow.case, CaseMessageRow.sequence)
    for row in session.scalars(wanted.order_by(*order)) if cases else ():
        found[row.case].append(_message(row))
    return found


def _message(row: CaseMessageRow) -> Message:
    return Message(row.sequence, row.sender, row.text, row.at)
