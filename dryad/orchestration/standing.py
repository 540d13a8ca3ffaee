"""A task as it stands, and what can follow: what ended stays as it ended."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from dryad.foundation.database.models import TaskRow
from dryad.foundation.errors import Conflict
from dryad.foundation.ids import RunId, TaskId, TenantId

Status = Literal[
    "submitted", "running", "waiting", "done", "refused", "rejected", "expired", "failed",
    "cancelled", "superseded", "held",
]  # fmt: skip
End = Literal["done", "refused", "rejected", "expired", "failed", "cancelled", "superseded"]

ENDS: frozenset[Status] = frozenset(
    ("done", "refused", "rejected", "expired", "failed", "cancelled", "superseded")
)
"""A task that ended so stays so."""

_UNDONE: frozenset[Status] = ENDS - {"done"}
_RUN: frozenset[Status] = frozenset(("running", "held"))
_WAIT: frozenset[Status] = frozenset(("waiting", "held"))
_BEGIN: frozenset[Status] = frozenset(("submitted",))
_NEXT: dict[Status, frozenset[Status]] = {
    "submitted": _RUN | (_UNDONE - {"rejected"}),
    "running": _WAIT | ENDS,
    "waiting": _RUN | _UNDONE,
    # After a restore a person lets a task go on from the beginning, or ends it.
    "held": _BEGIN | _UNDONE,
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task as recorded; `result` is there once it is done.

    Attributes:
        result: `{answer, citations, degraded, …}`.
        run: The flow run that carries it, once one was made.
        tokens: Spent so far, all agents.
        replayed: `submit` found this task under the request's idempotency key.
    """

    id: TaskId
    tenant: TenantId
    text: str
    context: dict[str, Any]
    agent: str
    budget: dict[str, Any]
    requester: str
    status: Status
    reason: str
    result: dict[str, Any] | None
    run: RunId | None
    tokens: int
    cost_usd: float
    created: datetime
    updated: datetime
    finished: datetime | None
    replayed: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ENDS


def step_to(row: TaskRow, status: Status) -> None:
    """Let a task stand otherwise; standing so already changes nothing.

    Raises:
        Conflict: that cannot follow.
    """
    now = cast("Status", row.status)
    if now == status:
        return
    if status not in _NEXT.get(now, frozenset()):
        raise Conflict(
            f"task {row.id} is {now} and cannot become {status}",
            "What ended stays as it ended; submit a new task."
            if now in ENDS
            else "Look at it with `dryad tasks show`.",
        )
    row.status = status


def task_of(row: TaskRow, *, replayed: bool = False) -> Task:
    """Read a task from its row."""
    return Task(
        id=TaskId(row.id),
        tenant=TenantId(row.tenant),
        text=row.text,
        context=row.context,
        agent=row.agent,
        budget=row.budget,
        requester=row.requester,
        status=cast("Status", row.status),
        reason=row.reason,
        result=row.result,
        run=None if row.run is None else RunId(row.run),
        tokens=row.tokens,
        cost_usd=row.cost_usd,
        created=row.created,
        updated=row.updated,
        finished=row.finished,
        replayed=replayed,
    )
