"""A task force: several agents on one task, each with a seat, and an ordered log of what they said.

States: active ⇄ paused → resolved | failed. Only members speak, and only while it is active.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import ForceMemberRow, ForceMessageRow, ForceRow
from dryad.foundation.errors import Conflict, LimitExceeded, NotFound, Refused
from dryad.foundation.ids import TaskId, TenantId, new_id
from dryad.orchestration.decision import Seat

MessageKind = Literal["proposal", "critique", "refinement", "agreement", "question", "answer"]
ForceStatus = Literal["active", "paused", "resolved", "failed"]

MAX_MESSAGES = 500
_NEXT: dict[ForceStatus, frozenset[ForceStatus]] = {
    "active": frozenset({"paused", "resolved", "failed"}),
    "paused": frozenset({"active", "failed"}),
    "resolved": frozenset(),
    "failed": frozenset(),
}


@dataclass(frozen=True)
class Message:
    """What one member said, `sequence` counting from 1."""

    sequence: int
    member: str
    kind: MessageKind
    content: dict[str, Any]


class TaskForces:
    """Every task force of the installation."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def assemble(
        self, tenant: TenantId, task: TaskId, objective: str, seats: tuple[Seat, ...]
    ) -> str:
        """Seat the members; a task has one force, so assembling again returns the first's id."""
        with self._database.transaction() as session:
            found = session.scalar(select(ForceRow.id).where(ForceRow.task == task))
            if found is not None:
                return found
            row = ForceRow(
                id=new_id("force"),
                tenant=tenant,
                task=task,
                objective=objective,
                status="active",
                created=self._clock(),
            )
            session.add(row)
            session.flush()
            session.add_all(
                ForceMemberRow(force=row.id, member=s.member, agent=s.agent, role=s.agent)
                for s in seats
            )
            return row.id

    def post(self, force: str, member: str, kind: MessageKind, content: dict[str, Any]) -> int:
        """Append a message and return its number.

        Raises:
            Refused: not a member, or the force is not active.
            LimitExceeded: the force has said enough.
        """
        with self._database.transaction() as session:
            row = _force(session, force, lock=True)
            if session.get(ForceMemberRow, (force, member)) is None:
                raise Refused(f"{member} is not a member of {force}")
            if row.status != "active":
                raise Refused(f"{force} is {row.status}; nothing more is said in it")
            last = session.scalar(
                select(func.max(ForceMessageRow.sequence)).where(ForceMessageRow.force == force)
            )
            number = (last or 0) + 1
            if number > MAX_MESSAGES:
                raise LimitExceeded(f"a task force says at most {MAX_MESSAGES} messages")
            session.add(
                ForceMessageRow(
                    force=force,
                    sequence=number,
                    member=member,
                    kind=kind,
                    content=content,
                    created=self._clock(),
                )
            )
            return number

    def messages(self, force: str, *, limit: int = 100) -> list[Message]:
        """Return what was said, in order."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(ForceMessageRow)
                .where(ForceMessageRow.force == force)
                .order_by(ForceMessageRow.sequence)
                .limit(limit)
            )
            return [
                Message(row.sequence, row.member, row.kind, row.content)  # pyright: ignore[reportArgumentType] - the CHECK constraint holds it
                for row in rows
            ]

    def become(
        self, force: str, status: ForceStatus, *, result: dict[str, Any] | None = None
    ) -> None:
        """Pause, resume or end a force; saying the same twice changes nothing.

        Raises:
            Conflict: it cannot go from where it stands to `status`.
        """
        with self._database.transaction() as session:
            row = _force(session, force, lock=True)
            if row.status == status:
                return
            if status not in _NEXT[row.status]:  # pyright: ignore[reportArgumentType] - as above
                raise Conflict(f"{force} is {row.status} and cannot become {status}")
            row.status = status
            if not _NEXT[status]:
                row.closed, row.result = self._clock(), result

    def resolve(self, task: TaskId, work: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Post what each member brought back and end the task's force, if it has one."""
        found = self.of_task(task)
        if found is None or found["status"] != "active":
            return
        said = {message.member for message in self.messages(found["id"])}
        for member, content in work:
            if member not in said:
                self.post(found["id"], member, "proposal", content)
        self.become(found["id"], "resolved", result={"members": [member for member, _ in work]})

    def fail(self, task: TaskId) -> None:
        """End the task's force without a result, if it has one that is not ended."""
        found = self.of_task(task)
        if found is not None and found["status"] in {"active", "paused"}:
            self.become(found["id"], "failed")

    def of_task(self, task: TaskId) -> dict[str, Any] | None:
        """Return the force of a task for people and programs."""
        with self._database.reading() as session:
            row = session.scalar(select(ForceRow).where(ForceRow.task == task))
            if row is None:
                return None
            members = session.scalars(
                select(ForceMemberRow)
                .where(ForceMemberRow.force == row.id)
                .order_by(ForceMemberRow.member)
            )
            return {
                "id": row.id,
                "status": row.status,
                "objective": row.objective,
                "members": [
                    {"member": m.member, "agent": m.agent, "role": m.role} for m in members
                ],
                "result": row.result,
            }


def _force(session: Session, force: str, *, lock: bool = False) -> ForceRow:
    row = session.get(ForceRow, force, with_for_update=lock)
    if row is None:
        raise NotFound(f"no task force {force}")
    return row
