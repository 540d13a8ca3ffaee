"""What tools were called: who called which version, on what task, how it ended, how long it took.

A call that is a step of a run is noted in the transaction that records the step, so the history has
it exactly once. Arguments and results are not kept here but their digest: the journal has them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import Table, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dryad.foundation.canonical import digest
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database.engine import Database
from dryad.foundation.database.models import ExecutionRow, VolumeRow
from dryad.foundation.errors import Conflict, NotFound
from dryad.foundation.ids import RunId, TaskId, TenantId

Outcome = Literal["running", "done", "failed", "refused", "doubtful"]
"""`refused`: nothing happened, by a rule; `failed`: nothing happened, or the tool reported failure;
`doubtful`: a process died or a connection broke, and nobody knows."""

DIRECT = RunId("")
"""The run of a call that no run made."""

_EXECUTIONS = cast("Table", ExecutionRow.__table__)
_MOST_REASON = 500


@dataclass(frozen=True)
class Errand:
    """For whom a tool is called: all calls of one tool on one errand are a session."""

    tenant: TenantId
    task: TaskId
    agent: str

    def session(self, tool: str) -> str:
        """Return the id of the session."""
        return digest([self.tenant, self.task, self.agent, tool])[:16]


@dataclass(frozen=True)
class Called:
    """How one call ended; `digest` is of tool and arguments, `seconds` the working time."""

    tool: str
    version: str
    digest: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Execution(Called):
    """One call, as it is remembered."""

    id: int = 0
    session: str = ""
    task: str = ""
    run: str = ""
    step: str = ""
    agent: str = ""
    started: datetime | None = None


@dataclass(frozen=True)
class ToolSession:
    """All calls of one tool by one agent on one task, and what it keeps between them."""

    id: str
    task: str
    agent: str
    tool: str
    calls: int
    done: int
    seconds: float
    first: datetime
    last: datetime
    volume: str
    """Status of its volume; '' when the tool keeps nothing."""
    volume_bytes: int


class ToolHistory:
    """The calls of every tenant."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def noting(self, errand: Errand) -> Callable[[Session, RunId, str, Called], None]:
        """Return what notes calls of one errand: in the session's transaction, by run and step.

        A call that is noted already stays as it is.
        """
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        new = insert(_EXECUTIONS).on_conflict_do_nothing()

        def note(session: Session, run: RunId, step: str, called: Called) -> None:
            values = self._values(errand, run=run, step=step, called=called)
            session.connection().execute(new, values)

        return note

    def begin(self, errand: Errand, *, key: str, called: Called) -> int:
        """Announce a direct call before it is made; return its id.

        Raises:
            Conflict: a call with this key was made or begun.
        """
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        new = insert(_EXECUTIONS).on_conflict_do_nothing().returning(_EXECUTIONS.c.id)
        values = self._values(errand, run=DIRECT, step=key, called=called)
        with self._database.transaction() as session:
            made = session.connection().execute(new, values).scalar_one_or_none()
        if made is None:
            raise Conflict(
                f"a call with the key {key[:80]} was made already",
                "`dryad tools history` shows how it ended; use a new key for another call.",
            )
        return made

    def end(self, execution: int, outcome: Outcome, *, reason: str, seconds: float) -> None:
        """Say how a direct call ended."""
        with self._database.transaction() as session:
            session.execute(
                update(ExecutionRow)
                .where(ExecutionRow.id == execution)
                .values(outcome=outcome, reason=_text(reason), seconds=seconds)
            )

    def find(self, tenant: TenantId, execution: int) -> Execution:
        """Return one call.

        Raises:
            NotFound: the tenant has no such call.
        """
        with self._database.reading() as session:
            row = session.get(ExecutionRow, execution)
            if row is None or row.tenant != tenant:
                raise NotFound(f"no call {execution}")
            return _execution(row)

    def executions(
        self, tenant: TenantId, *, before: int | None = None, limit: int = 100, **like: str
    ) -> list[Execution]:
        """Return calls, newest first.

        Args:
            tenant: Whose.
            before: Only those with a smaller id: the next page.
            limit: At most so many.
            like: What `tool`, `agent`, `task`, `session` or `outcome` must be; '' is any.
        """
        query = select(ExecutionRow).where(ExecutionRow.tenant == tenant)
        for column, value in like.items():
            if value:
                query = query.where(getattr(ExecutionRow, column) == value)
        if before is not None:
            query = query.where(ExecutionRow.id < before)
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(ExecutionRow.id.desc()).limit(limit))
            return [_execution(row) for row in rows]

    def sessions(self, tenant: TenantId, *, limit: int = 100, **like: str) -> list[ToolSession]:
        """Return sessions, the one last used first; `like` as in `executions`."""
        e, last = ExecutionRow, func.max(ExecutionRow.id)
        query = select(
            e.session, e.task, e.agent, e.tool, func.count(),
            func.sum(case((e.outcome == "done", 1), else_=0)),
            func.coalesce(func.sum(e.seconds), 0.0),
            func.min(e.started), func.max(e.started),
        ).where(e.tenant == tenant)  # fmt: skip
        for column, value in like.items():
            if value:
                query = query.where(getattr(e, column) == value)
        query = query.group_by(e.session, e.task, e.agent, e.tool)
        with self._database.reading() as session:
            rows = session.execute(query.order_by(last.desc()).limit(limit)).all()
            kept = _volumes(session, tenant, [row[0] for row in rows])
        none = ("", 0)
        return [
            ToolSession(
                id=row[0], task=row[1], agent=row[2], tool=row[3], calls=row[4], done=row[5],
                seconds=row[6], first=row[7], last=row[8],
                volume=kept.get(row[0], none)[0], volume_bytes=kept.get(row[0], none)[1],
            )
            for row in rows
        ]  # fmt: skip

    def settle(self, *, kept: timedelta, lost: timedelta = timedelta(hours=1)) -> int:
        """Forget calls older than `kept`; doubt those begun longer ago than `lost` and not ended.

        Returns:
            How many were forgotten.
        """
        now = self._clock()
        with self._database.transaction() as session:
            session.execute(
                update(ExecutionRow)
                .where(ExecutionRow.outcome == "running", ExecutionRow.started < now - lost)
                .values(outcome="doubtful", reason="its process ended before it said how it went")
            )
            old = delete(ExecutionRow).where(ExecutionRow.started < now - kept)
            return len(session.execute(old.returning(ExecutionRow.id)).all())

    def _values(
        self, errand: Errand, *, run: RunId, step: str, called: Called
    ) -> Mapping[str, Any]:
        ended = called.outcome != "running"
        return {
            "tenant": errand.tenant,
            "session": errand.session(called.tool),
            "task": errand.task,
            "run": run,
            "step": step,
            "agent": errand.agent,
            "tool": _text(called.tool)[:64],
            "version": called.version,
            "digest": called.digest,
            "outcome": called.outcome,
            "reason": _text(called.reason),
            "started": self._clock() - timedelta(seconds=called.seconds),
            "seconds": called.seconds if ended else None,
        }


def _text(said: str) -> str:
    """Return what a tool or model said as any database keeps it."""
    return said[:_MOST_REASON].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _execution(row: ExecutionRow) -> Execution:
    values: dict[str, Any] = {name: getattr(row, name) for name in Execution.__dataclass_fields__}
    values["seconds"] = row.seconds or 0.0
    return Execution(**values)


def _volumes(
    session: Session, tenant: TenantId, sessions: Sequence[str]
) -> dict[str, tuple[str, int]]:
    rows = session.scalars(
        select(VolumeRow).where(VolumeRow.tenant == tenant, VolumeRow.session.in_(sessions))
    )
    return {row.session: (row.status, row.size_bytes) for row in rows}
