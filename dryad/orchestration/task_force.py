"""A task force: several agents on one task, each with a seat, and an ordered log of what they said.

States: active ⇄ paused → resolved | failed. Only members speak, and only while it is active. The
coordinator is a member without a seat: it says in the log what the checks found and who agreed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import ForceMemberRow, ForceMessageRow, ForceRow
from dryad.foundation.errors import Conflict, LimitExceeded, NotFound, Refused
from dryad.foundation.ids import TaskId, TenantId, new_id
from dryad.orchestration.decision import Decision, Seat

MessageKind = Literal["proposal", "critique", "refinement", "agreement", "question", "answer"]
ForceStatus = Literal["active", "paused", "resolved", "failed"]

MOST_MESSAGES = 500
"""The most messages of a task force, unless it is told otherwise."""
COORDINATOR = "coordinator"

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
    created: datetime


class TaskForces:
    """Every task force of the installation."""

    def __init__(
        self, database: Database, *, most_messages: int = MOST_MESSAGES, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._most_messages = most_messages
        self._clock = clock

    def assemble(
        self,
        tenant: TenantId,
        task: TaskId,
        objective: str,
        seats: Sequence[Seat],
        *,
        roles: Mapping[str, str],
    ) -> str:
        """Seat the members beside a coordinator; who sits already, and the force, are kept.

        Args:
            tenant: Whose force it is.
            task: A task has one force.
            objective: What it is for.
            seats: Who joins.
            roles: Member → role; who has none is called by the agent's id.

        Returns:
            The id of the force.

        Raises:
            Refused: the force has ended; nobody joins any more.
        """
        with self._database.transaction() as session:
            row = session.scalar(select(ForceRow).where(ForceRow.task == task).with_for_update())
            if row is None:
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
                session.add(
                    ForceMemberRow(force=row.id, member=COORDINATOR, agent="", role=COORDINATOR)
                )
            present = set(
                session.scalars(select(ForceMemberRow.member).where(ForceMemberRow.force == row.id))
            )
            new = [seat for seat in seats if seat.member not in present]
            if new and not _NEXT[cast("ForceStatus", row.status)]:
                raise Refused(f"{row.id} is {row.status}; nobody joins it any more")
            session.add_all(
                ForceMemberRow(
                    force=row.id,
                    member=seat.member,
                    agent=seat.agent,
                    role=roles.get(seat.member, seat.agent),
                )
                for seat in new
            )
            return row.id

    def say(
        self, task: TaskId, member: str, kind: MessageKind, content: dict[str, Any], *, turn: str
    ) -> None:
        """Post what a member said at one turn of a task's force, once; without a force, nothing.

        Args:
            task: Whose force.
            member: Who speaks.
            kind: What it is.
            content: What is said.
            turn: Names the moment; a turn that was told is not told again by a replay.

        Raises:
            Refused: not a member, or the force is not active.
            LimitExceeded: the force has said enough.
        """
        with self._database.transaction() as session:
            force = session.scalar(select(ForceRow).where(ForceRow.task == task).with_for_update())
            if force is None:
                return
            told = session.scalars(
                select(ForceMessageRow.content).where(
                    ForceMessageRow.force == force.id,
                    ForceMessageRow.member == member,
                    ForceMessageRow.kind == kind,
                )
            )
            if all(one.get("turn") != turn for one in told):
                self._append(session, force, member, kind, {**content, "turn": turn})

    def post(self, force: str, member: str, kind: MessageKind, content: dict[str, Any]) -> int:
        """Append a message and return its number.

        Raises:
            Refused: not a member, or the force is not active.
            LimitExceeded: the force has said enough.
        """
        with self._database.transaction() as session:
            return self._append(session, _force(session, force, lock=True), member, kind, content)

    def _append(
        self,
        session: Session,
        force: ForceRow,
        member: str,
        kind: MessageKind,
        content: dict[str, Any],
    ) -> int:
        if session.get(ForceMemberRow, (force.id, member)) is None:
            raise Refused(f"{member[:80]} is not a member of {force.id}")
        if force.status != "active":
            raise Refused(f"{force.id} is {force.status}; nothing more is said in it")
        last = session.scalar(
            select(func.max(ForceMessageRow.sequence)).where(ForceMessageRow.force == force.id)
        )
        number = (last or 0) + 1
        if number > self._most_messages:
            raise LimitExceeded(
                f"a task force says at most {self._most_messages} messages",
                "Raise DRYAD_MAX_FORCE_MESSAGES, or divide the task.",
            )
        session.add(
            ForceMessageRow(
                force=force.id,
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
                Message(
                    row.sequence,
                    row.member,
                    cast("MessageKind", row.kind),
                    row.content,
                    row.created,
                )
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
            if status not in _NEXT[cast("ForceStatus", row.status)]:
                raise Conflict(f"{force} is {row.status} and cannot become {status}")
            row.status = status
            if not _NEXT[status]:
                row.closed, row.result = self._clock(), result

    def pause(self, task: TaskId, *, waits: bool) -> None:
        """Let the task's force wait for a person as one, or go on; ended or none, nothing."""
        found = self._standing(task)
        if found is not None and found[1] in {"active", "paused"}:
            self.become(found[0], "paused" if waits else "active")

    def resolve(self, task: TaskId, result: dict[str, Any]) -> None:
        """End the task's force with what it agreed on, if it has one that is not ended."""
        found = self._standing(task)
        if found is None or found[1] not in {"active", "paused"}:
            return
        if found[1] == "paused":
            self.become(found[0], "active")
        self.say(task, COORDINATOR, "agreement", result, turn="end")
        self.become(found[0], "resolved", result=result)

    def fail(self, task: TaskId) -> None:
        """End the task's force without a result, if it has one that is not ended."""
        found = self._standing(task)
        if found is not None and found[1] in {"active", "paused"}:
            self.become(found[0], "failed")

    def _standing(self, task: TaskId) -> tuple[str, str] | None:
        with self._database.reading() as session:
            query = select(ForceRow.id, ForceRow.status).where(ForceRow.task == task)
            row = session.execute(query).one_or_none()
            return None if row is None else (row[0], row[1])

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
            found: dict[str, Any] = {
                "id": row.id,
                "status": row.status,
                "objective": row.objective,
                "members": [
                    {"member": m.member, "agent": m.agent, "role": m.role} for m in members
                ],
                "result": row.result,
            }
        return {
            **found,
            "messages": [
                _as_json(m) for m in self.messages(found["id"], limit=self._most_messages)
            ],
        }


def roles(decision: Decision) -> dict[str, str]:
    """Return what each seat of a decision is there for: its kind of work, or joining others'."""
    capability = {step["id"]: step["capability"] for step in decision.details["plan"]}
    return {
        seat.member: "synthesis" if len(seat.after) > 1 else capability[seat.steps[0]]
        for seat in decision.seats
    }


def _as_json(message: Message) -> dict[str, Any]:
    return {**asdict(message), "created": message.created.isoformat()}


def _force(session: Session, force: str, *, lock: bool = False) -> ForceRow:
    row = session.get(ForceRow, force, with_for_update=lock)
    if row is None:
        raise NotFound(f"no task force {force}")
    return row
