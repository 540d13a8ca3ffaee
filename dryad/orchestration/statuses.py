"""How a task may stand, and what can follow: what ended stays as it ended."""

from typing import Literal, cast

from dryad.foundation.database.models import TaskRow
from dryad.foundation.errors import Conflict

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
