"""Calls of tools: made directly, and those that were made."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from dryad.api.auth import Access, Admin, TaskReader
from dryad.api.shapes import Incoming, JsonObject, Limit, Name, Outgoing, Page, Ref
from dryad.execution.volumes import State
from dryad.foundation.tool_history import Outcome

router = APIRouter(prefix="/tools", tags=["tools"])

Like = Annotated[str, Query(max_length=64)]


class CallIn(Incoming):
    """One call, in the name of an agent: its grants and the policy count."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"agent": "analyst", "arguments": {"expression": "6 * 7"}}]}
    )

    agent: Name
    arguments: JsonObject = Field(default={})
    key: str = Field(
        default="", max_length=100, pattern=r"^[A-Za-z0-9_.:-]*$", description="One call a key"
    )


class ExecutionOut(Outgoing):
    """One call that was made, or refused."""

    id: int
    session: str
    task: str
    run: str
    step: str
    agent: str
    tool: str
    version: str
    digest: str = Field(description="Of tool and arguments")
    outcome: Outcome
    reason: str
    started: datetime
    seconds: float


class CallOut(ExecutionOut):
    """What came of a call."""

    value: Any = Field(description="As the tool's output schema says; null when it failed")
    sources: list[dict[str, Any]]
    untrusted: bool = Field(description="The value holds text from outside")


class SessionOut(Outgoing):
    """All calls of one tool by one agent on one task."""

    id: str
    task: str
    agent: str
    tool: str
    calls: int
    done: int
    seconds: float
    first: datetime
    last: datetime
    volume: str = Field(description="Status of what the tool keeps; '' when it keeps nothing")
    volume_bytes: int


class VolumeOut(Outgoing):
    """What one session of a stateful tool keeps."""

    session: str
    task: str
    agent: str
    tool: str
    status: State
    size_bytes: int
    created: datetime
    used: datetime
    sanitised: datetime | None
    deleted: datetime | None


@router.post("/{name}/execute")
def execute(name: Ref, body: CallIn, access: Admin) -> CallOut:
    """Call a tool now; a call that a person would have to allow is refused, not asked about."""
    made, outcome = access.edge.services.direct_calls.call(
        access.tenant,
        name,
        body.arguments,
        agent=body.agent,
        by=access.actor,
        key=body.key,
    )
    shown = outcome.to_json()
    about = ExecutionOut.model_validate(made).model_dump()
    return CallOut(
        **about,
        value=shown["value"],
        sources=list(shown["passages"]),
        untrusted=outcome.untrusted,
    )


@router.get("/history")
def history(
    access: TaskReader,
    *,
    tool: Like = "",
    agent: Like = "",
    task: Like = "",
    session: Like = "",
    outcome: Outcome | None = None,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Limit = 100,
) -> Page[ExecutionOut]:
    """List the tenant's calls, newest first."""
    like = {"tool": tool, "agent": agent, "task": task, "session": session}
    return _calls(access, before, limit, **like, outcome=outcome or "")


@router.get("/sessions")
def sessions(
    access: TaskReader,
    *,
    tool: Like = "",
    agent: Like = "",
    task: Like = "",
    limit: Limit = 100,
) -> Page[SessionOut]:
    """List sessions, the one last used first: all calls of a tool by one agent on one task."""
    found = access.edge.services.tool_history.sessions(
        access.tenant, limit=limit, tool=tool, agent=agent, task=task
    )
    return Page[SessionOut](items=[SessionOut.model_validate(one) for one in found])


@router.get("/volumes")
def volumes(access: TaskReader, *, status: State | None = None) -> Page[VolumeOut]:
    """List what stateful tools keep, the last used first."""
    found = access.edge.services.volumes.list(access.tenant, status=status)
    return Page[VolumeOut](items=[VolumeOut.model_validate(one) for one in found])


@router.delete("/volumes/{session}")
def sanitise(session: Ref, access: Admin) -> VolumeOut:
    """Overwrite what a session keeps, now; its next call begins with nothing."""
    services = access.edge.services
    found = services.volumes.sanitise(access.tenant, session)
    services.audit.append(
        access.tenant,
        "volume_sanitised",
        actor=access.actor,
        subject=f"volume:{session}",
        data={"tool": found.tool, "task": found.task},
    )
    return VolumeOut.model_validate(found)


@router.get("/{name}/history")
def history_of(
    name: Ref,
    access: TaskReader,
    *,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Limit = 100,
) -> Page[ExecutionOut]:
    """List the calls of one tool, newest first, those of versions that are gone too."""
    return _calls(access, before, limit, tool=name)


def _calls(access: Access, before: int | None, limit: int, **like: str) -> Page[ExecutionOut]:
    found = access.edge.services.tool_history.executions(
        access.tenant, before=before, limit=limit, **like
    )
    return Page[ExecutionOut](
        items=[ExecutionOut.model_validate(one) for one in found],
        next=str(found[-1].id) if len(found) == limit else None,
    )
