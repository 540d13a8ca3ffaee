"""Tasks: ask, look, stop."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Header, Query, Response
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from dryad.api.auth import Access, TaskReader, TaskWriter
from dryad.api.routes.consultations import CaseOut
from dryad.api.routes.decisions import DecisionOut
from dryad.api.shapes import Incoming, Limit, Name, Outgoing, Page, Prose, Ref
from dryad.foundation.errors import Conflict, InvalidRequest
from dryad.foundation.ids import TaskId
from dryad.orchestration.task_force import ForceStatus, MessageKind
from dryad.orchestration.tasks import Request, Status, Task
from dryad.orchestration.timeline import timeline
from dryad.platform.rounds import clear_away

router = APIRouter(prefix="/tasks", tags=["tasks"])

_EXAMPLE: JsonDict = {
    "text": "Which retention period do the documents name? Cite them.",
    "context": {"audience": "auditors"},
    "budget": {"tokens": 20000, "cost_usd": 0.5},
}


class Budget(Incoming):
    """The most the task may spend; narrower than the installation's limits."""

    tokens: int | None = Field(default=None, ge=1)
    cost_usd: float | None = Field(default=None, gt=0)
    answer_within_seconds: int | None = Field(
        default=None, ge=1, description="How long its questions wait for a person"
    )
    project: Name | None = Field(default=None, description="Who pays beside the tenant")


class TaskIn(Incoming):
    """What is asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    text: str = Field(description="What is to be done, in your words")
    context: dict[str, Any] = Field(default={}, description="Facts beside the text")
    agent: str = Field(default="", description="Skip routing: the agent that shall do it")
    tenant: str = Field(default="", description="Default: the key's own", max_length=64)
    budget: Budget = Budget()
    idempotency_key: str = Field(
        default="",
        description="The same key names the same task; or send the header",
        max_length=200,
    )


class TaskOut(Outgoing):
    """A task as it stands."""

    id: str
    tenant: str
    text: str
    context: dict[str, Any]
    agent: str
    budget: dict[str, Any]
    requester: str
    status: Status
    reason: str
    result: dict[str, Any] | None
    run: str | None
    tokens: int
    cost_usd: float
    created: datetime
    updated: datetime
    finished: datetime | None


class Steps(Outgoing):
    """How far its run got."""

    done: int = 0
    intended: int = Field(default=0, description="Begun, outcome not recorded yet")
    doubtful: int = Field(
        default=0, description="Nobody knows whether they happened; a person decides"
    )
    last: str | None = Field(
        default=None, description="The newest step", examples=["advance/analyst#2"]
    )


class MemberOut(Outgoing):
    """Who sits in a task force, and as what."""

    member: str
    agent: str
    role: str


class MessageOut(Outgoing):
    """What one member said."""

    sequence: int
    member: str
    kind: MessageKind
    content: dict[str, Any]
    created: datetime


class ForceOut(Outgoing):
    """The task force of a task, and what was said in it, in order."""

    id: str
    status: ForceStatus
    objective: str
    members: list[MemberOut]
    messages: list[MessageOut]
    result: dict[str, Any] | None


class MomentOut(Outgoing):
    """One thing that happened to a task."""

    at: datetime
    what: str


class TaskDetail(TaskOut):
    """A task, who does it and why, how far it got, and what a person is or was asked."""

    decision: DecisionOut | None
    force: ForceOut | None
    steps: Steps
    cases: list[CaseOut]
    timeline: list[MomentOut] = Field(description="What happened, in order")


class Cancellation(Incoming):
    """Why a task is stopped."""

    reason: Prose = ""


@router.post("", status_code=201, responses={200: {"model": TaskOut, "description": "Known"}})
def submit(
    body: TaskIn,
    access: TaskWriter,
    later: BackgroundTasks,
    response: Response,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> TaskOut:
    """Record a task and start its run; 200 when the idempotency key names one already.

    The task is safe once this answers: if Prefect is down, the keeper starts the run later.
    """
    if idempotency_key and body.idempotency_key not in {"", idempotency_key}:
        raise InvalidRequest("the header and the body name different idempotency keys")
    tenant = access.tenant_or(body.tenant)
    access.edge.services.stops.check(tenant, agent=body.agent or None)
    task = access.edge.services.tasks.submit(
        Request(
            tenant=tenant,
            text=body.text,
            context=body.context,
            agent=body.agent,
            budget=body.budget.model_dump(exclude_none=True),
            requester=access.actor,
            idempotency_key=idempotency_key or body.idempotency_key,
        )
    )
    if task.replayed:
        response.status_code = 200
    elif task.run is None:
        later.add_task(access.edge.send, task)
    return TaskOut.model_validate(task)


@router.get("")
def list_tasks(
    access: TaskReader,
    status: Status | None = None,
    limit: Limit = 50,
    before: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = None,
) -> Page[TaskOut]:
    """List the tenant's tasks, newest first."""
    tasks = access.edge.services.tasks.list(
        access.tenant,
        status=status,
        limit=limit,
        before=TaskId(before) if before else None,
    )
    cursor = tasks[-1].id if len(tasks) == limit else None
    return Page[TaskOut](items=[TaskOut.model_validate(task) for task in tasks], next=cursor)


@router.get("/{task_id}")
def show(task_id: Ref, access: TaskReader) -> TaskDetail:
    """Show one task with its decision, its progress and its questions."""
    services = access.edge.services
    task = services.tasks.get(access.tenant, TaskId(task_id))
    cases = services.cases.of_task(access.tenant, task.id)
    decision = services.decisions.of_task(access.tenant, task.id)
    force = services.forces.of_task(task.id)
    return TaskDetail(
        **TaskOut.model_validate(task).model_dump(),
        decision=None if decision is None else DecisionOut.model_validate(decision),
        force=None if force is None else ForceOut.model_validate(force),
        steps=_steps(access, task),
        cases=[CaseOut.model_validate(case) for case in cases],
        timeline=[
            MomentOut.model_validate(moment) for moment in timeline(task, decision, cases, force)
        ],
    )


@router.post("/{task_id}/cancel")
def cancel(
    task_id: Ref, access: TaskWriter, later: BackgroundTasks, body: Cancellation | None = None
) -> TaskOut:
    """Stop a task that has not ended; what it did already stays done and recorded."""
    task = access.edge.services.tasks.cancel(
        access.tenant,
        TaskId(task_id),
        actor=access.actor,
        reason=body.reason if body else "",
    )
    clear_away(access.edge.services, task, task.reason)
    later.add_task(access.edge.stop, task)
    return TaskOut.model_validate(task)


@router.post("/{task_id}/release")
def release(task_id: Ref, access: TaskWriter) -> TaskOut:
    """Let a task that a restore holds begin anew, as a new task; nothing answered before counts."""
    services = access.edge.services
    task = services.tasks.get(access.tenant, TaskId(task_id))
    if task.status != "held":
        raise Conflict(
            f"task {task.id} is {task.status}, not held", "Only what a restore holds is released."
        )
    ended = services.tasks.renew(task.id)
    services.cases.upkeep.cancel(task.id, reason=ended.reason)
    return TaskOut.model_validate(ended)


def _steps(access: Access, task: Task) -> Steps:
    if task.run is None:
        return Steps()
    steps = access.edge.services.journal.steps(task.run)
    states = Counter(step.state for step in steps)
    return Steps(
        done=states["done"],
        intended=states["intended"],
        doubtful=states["doubtful"],
        last=steps[-1].id if steps else None,
    )
