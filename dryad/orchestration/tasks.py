"""Tasks: what somebody asked for, how it stands, and how it ended. The row is the truth."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn, cast

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database.engine import Database
from dryad.foundation.database.models import AgentRow, TaskRow, TenantRow
from dryad.foundation.errors import Conflict, NotFound, Refused
from dryad.foundation.ids import RunId, TaskId, TenantId, new_id
from dryad.orchestration.requests import Request, TaskLimits, screen
from dryad.orchestration.standing import ENDS, End, Status, Task, step_to, task_of

__all__ = ["ENDS", "Request", "Status", "Task", "TaskLimits", "Tasks"]


class Tasks:
    """Every task of the installation. What belongs to another tenant is not found."""

    def __init__(
        self,
        database: Database,
        clock: Clock = utc_now,
        *,
        audit: Audit,
        limits: TaskLimits | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self.limits = limits or TaskLimits()

    def submit(self, request: Request) -> Task:
        """Record a task, or find the one recorded under the same idempotency key.

        Raises:
            InvalidRequest: it cannot become a task; see `screen`.
            Conflict: the key names a task that asks for something else.
            NotFound: no such tenant or agent.
            Refused: the tenant is closed or the agent is not active.
        """
        screen(request, self.limits)
        try:
            return self._submit(request)
        except IntegrityError:  # another process recorded the key between our look and our insert
            return self._submit(request)

    def get(self, tenant: TenantId, task: TaskId) -> Task:
        """Return one task of a tenant.

        Raises:
            NotFound: the tenant has no such task.
        """
        with self._database.reading() as session:
            row = session.get(TaskRow, task)
            if row is None or row.tenant != tenant:
                _missing(task)
            return task_of(row)

    def find(self, task: TaskId) -> Task:
        """Return one task whosever it is: for runs, which know only its id.

        Raises:
            NotFound: there is none.
        """
        with self._database.reading() as session:
            return task_of(session.get(TaskRow, task) or _missing(task))

    def of_run(self, run: RunId) -> Task | None:
        """Return the task a flow run carries."""
        with self._database.reading() as session:
            row = session.scalars(select(TaskRow).where(TaskRow.run == run)).first()
            return None if row is None else task_of(row)

    def counts(self) -> dict[str, int]:
        """Return how many tasks of the installation stand how."""
        with self._database.reading() as session:
            rows = session.execute(select(TaskRow.status, func.count()).group_by(TaskRow.status))
            return {status: number for status, number in rows}  # noqa: C416 - a Row is no tuple to pyright

    # -- what the road does to a task

    def unsent(self, *, limit: int = 100) -> list[Task]:
        """Return the tasks no flow run carries yet, oldest first."""
        query = (
            select(TaskRow)
            .where(TaskRow.status == "submitted", TaskRow.run.is_(None))
            .order_by(TaskRow.created, TaskRow.id)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [task_of(row) for row in session.scalars(query)]

    def carried(self, *, limit: int = 1_000) -> list[Task]:
        """Return the tasks that have not ended and have a flow run, oldest first."""
        query = (
            select(TaskRow)
            .where(TaskRow.status.in_(("submitted", "running", "waiting")))
            .where(TaskRow.run.is_not(None))
            .order_by(TaskRow.created, TaskRow.id)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [task_of(row) for row in session.scalars(query)]

    def ended_of(self, runs: Collection[RunId]) -> list[Task]:
        """Return those tasks of these flow runs that have ended."""
        query = select(TaskRow).where(TaskRow.run.in_(runs), TaskRow.status.in_(ENDS))
        with self._database.reading() as session:
            return [task_of(row) for row in session.scalars(query)]

    def unended_of(self, runs: Collection[RunId]) -> set[RunId]:
        """Return those of these flow runs whose task waits, is held, or has not ended otherwise."""
        query = select(TaskRow.run).where(TaskRow.run.in_(runs), TaskRow.status.not_in(ENDS))
        with self._database.reading() as session:
            return {RunId(run) for run in session.scalars(query) if run is not None}

    def sent(self, task: TaskId, run: RunId) -> None:
        """Record which flow run carries the task; saying the same twice is one.

        Raises:
            Conflict: another run carries it.
        """
        self._change(task, lambda row: _carry(row, run))

    def set_status(
        self, task: TaskId, status: Status, *, reason: str = "", session: Session | None = None
    ) -> Task:
        """Say how an open task stands now; saying the same twice changes nothing.

        Args:
            task: Which.
            status: `running`, `waiting`, `held`, or `submitted` for a held one.
            reason: Why, for a person who looks at it.
            session: Join this transaction.

        Raises:
            Conflict: it ended, or cannot go from where it stands to `status`.
        """
        if status in ENDS:
            return self.finish(task, cast("End", status), reason=reason, session=session)

        def stand(row: TaskRow) -> None:
            step_to(row, status)
            row.reason = reason
            if status == "submitted":
                row.run = None  # a new run begins from the beginning

        return self._change(task, stand, session=session)

    def finish(
        self,
        task: TaskId,
        status: End,
        *,
        reason: str = "",
        result: dict[str, Any] | None = None,
        actor: str = "dryad",
        session: Session | None = None,
    ) -> Task:
        """End a task, audited in the same transaction.

        The first end stays: finishing again with the same status returns what was recorded.

        Raises:
            Conflict: it ended otherwise.
        """

        def end(row: TaskRow, session: Session) -> None:
            if row.status == status:
                return
            step_to(row, status)
            row.reason, row.result, row.finished = reason, result, row.updated
            self._audit.append(
                TenantId(row.tenant),
                "task_finished",
                actor=actor,
                subject=row.id,
                data={"status": status, "reason": reason, "run": row.run or ""},
                session=session,
            )

        with self._joined(session) as joined:
            return self._change(task, lambda row: end(row, joined), session=joined)

    def cancel(self, tenant: TenantId, task: TaskId, *, actor: str, reason: str = "") -> Task:
        """End a tenant's task because somebody no longer wants it.

        Raises:
            NotFound: the tenant has no such task.
            Conflict: it ended otherwise already.
        """
        self.get(tenant, task)
        return self.finish(task, "cancelled", reason=reason or "cancelled on request", actor=actor)

    def renew(self, task: TaskId) -> Task:
        """End a task as superseded and submit what it asked anew; done twice it is done once.

        Raises:
            Conflict: it ended otherwise already.
        """
        old = self.find(task)
        again = self.submit(
            Request(
                tenant=old.tenant,
                text=old.text,
                context=old.context,
                agent=old.agent,
                budget=old.budget,
                requester=old.requester,
                idempotency_key=f"again:{old.id}",
            )
        )
        return self.finish(task, "superseded", reason=f"submitted anew as {again.id}")

    def usage(
        self, task: TaskId, *, tokens: int, cost_usd: float, session: Session | None = None
    ) -> None:
        """Add what a step of the task spent."""
        with self._joined(session) as joined:
            joined.execute(
                update(TaskRow)
                .where(TaskRow.id == task)
                .values(tokens=TaskRow.tokens + tokens, cost_usd=TaskRow.cost_usd + cost_usd)
            )

    def list(
        self,
        tenant: TenantId,
        *,
        status: Status | None = None,
        limit: int = 50,
        before: TaskId | None = None,
    ) -> list[Task]:
        """Return a tenant's tasks, newest first.

        Args:
            tenant: Whose tasks.
            status: Only those that stand so.
            limit: At most so many.
            before: The last task of the page before this one.

        Raises:
            NotFound: `before` is no task of the tenant.
        """
        query = select(TaskRow).where(TaskRow.tenant == tenant)
        if status is not None:
            query = query.where(TaskRow.status == status)
        if before is not None:
            last = self.get(tenant, before)
            query = query.where(tuple_(TaskRow.created, TaskRow.id) < (last.created, last.id))
        query = query.order_by(TaskRow.created.desc(), TaskRow.id.desc()).limit(limit)
        with self._database.reading() as session:
            return [task_of(row) for row in session.scalars(query)]

    # -- helpers

    def _submit(self, request: Request) -> Task:
        wanted = request.digest
        with self._database.transaction() as session:
            if row := _recorded(session, request):
                if row.request_digest != wanted:
                    raise Conflict(
                        f"idempotency key {request.idempotency_key!r} names task {row.id},"
                        " which asks for something else",
                        "Use a new key for a new task.",
                    )
                return task_of(row, replayed=True)
            _admit(session, request)
            row = self._row(request, wanted)
            session.add(row)
            session.flush()
            self._audit.append(
                request.tenant,
                "task_submitted",
                actor=request.requester,
                subject=row.id,
                data={"digest": wanted, "agent": row.agent, "budget": row.budget},
                session=session,
            )
            return task_of(row)

    def _row(self, request: Request, wanted: str) -> TaskRow:
        now, task = self._clock(), new_id("task")
        return TaskRow(
            id=task,
            tenant=request.tenant,
            text=request.text,
            context=dict(request.context),
            agent=request.agent,
            budget=dict(request.budget),
            requester=request.requester,
            idempotency_key=request.idempotency_key or task,
            request_digest=wanted,
            status="submitted",
            reason="",
            run=request.run,
            tokens=0,
            cost_usd=0.0,
            created=now,
            updated=now,
        )

    def _change(
        self, task: TaskId, change: Callable[[TaskRow], None], *, session: Session | None = None
    ) -> Task:
        with self._joined(session) as joined:
            row = joined.get(TaskRow, task, with_for_update=True, populate_existing=True)
            if row is None:
                _missing(task)
            # The clock may be set back; a task's times never are.
            row.updated = max(self._clock(), row.updated)
            change(row)
            return task_of(row)

    def _joined(self, session: Session | None) -> AbstractContextManager[Session]:
        return self._database.transaction() if session is None else nullcontext(session)


def _admit(session: Session, request: Request) -> None:
    tenant = session.get(TenantRow, request.tenant)
    if tenant is None:
        raise NotFound(f"there is no tenant {request.tenant!r}", "Run `dryad tenants list`.")
    if tenant.status != "active":
        raise Refused(f"tenant {request.tenant!r} is {tenant.status}")
    if not request.agent:
        return
    agent = session.get(AgentRow, (request.tenant, request.agent))
    if agent is None:
        raise NotFound(f"there is no agent {request.agent!r}", "Run `dryad agents list`.")
    if agent.status != "active":
        raise Refused(f"agent {request.agent!r} is {agent.status}")


def _recorded(session: Session, request: Request) -> TaskRow | None:
    if not request.idempotency_key:
        return None
    return session.scalars(
        select(TaskRow).where(
            TaskRow.tenant == request.tenant, TaskRow.idempotency_key == request.idempotency_key
        )
    ).one_or_none()


def _carry(row: TaskRow, run: RunId) -> None:
    if row.run not in {None, run}:
        raise Conflict(f"task {row.id} is carried by run {row.run}, not {run}")
    row.run = run


def _missing(task: TaskId) -> NoReturn:
    raise NotFound(f"there is no task {task[:80]!r}", "Run `dryad tasks list`.")
