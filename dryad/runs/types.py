"""What the Prefect server says about runs, as plain values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

StateType = Literal[
    "SCHEDULED",
    "PENDING",
    "RUNNING",
    "PAUSED",
    "CANCELLING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "CRASHED",
]

RUN_ENDED: frozenset[StateType] = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})


@dataclass(frozen=True)
class RunState:
    """How a run stands; `name` refines `type` (`Suspended`, `Resuming`, `Rejected`, …)."""

    type: StateType
    name: str
    message: str
    since: datetime
    """When it came to stand so, by the server's clock."""
    pause_key: str | None = None
    """The form that is open while `type` is PAUSED."""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless somebody starts the run again."""
        return self.type in RUN_ENDED


@dataclass(frozen=True)
class StoredAnswer:
    """What somebody sent through a form, as the server took it."""

    values: dict[str, Any]
    created: datetime


@dataclass(frozen=True)
class Deployment:
    """One registered deployment; `name` is `flow/deployment`."""

    id: str
    name: str
    entrypoint: str
    paused: bool
    version: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """The work pool all runs go through."""

    name: str
    type: str
    paused: bool
    limit: int | None


@dataclass(frozen=True)
class Worker:
    """A worker of the pool; offline after three missed heartbeats."""

    name: str
    online: bool
    last_seen: datetime | None


def state_from(data: dict[str, Any] | None) -> RunState | None:
    """Read a state as the server writes it; None stays None."""
    if data is None:
        return None
    kind: str = data["type"]
    if kind not in get_args(StateType):
        raise ValueError(f"a Prefect state of an unknown type: {kind!r}")
    details: dict[str, Any] = data.get("state_details") or {}
    return RunState(
        type=kind,  # pyright: ignore[reportArgumentType] - compared with every allowed value above
        name=data.get("name") or kind.title(),
        message=data.get("message") or "",
        since=instant(data["timestamp"]),
        pause_key=details.get("pause_key") if kind == "PAUSED" else None,
    )


def instant(text: str) -> datetime:
    """Read an ISO 8601 time with its zone."""
    return datetime.fromisoformat(text)
