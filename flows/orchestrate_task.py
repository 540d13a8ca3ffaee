"""One task, from its request to a report a person can trust."""

from typing import Any

from prefect import flow
from prefect.states import Completed, State
from pydantic import BaseModel, Field

from dryad.foundation.errors import DryadError, InvalidRequest, NotFound, Refused, Superseded
from dryad.foundation.ids import RunId
from dryad.orchestration.decision import Decision
from dryad.orchestration.hybrid import Finding, plan_question
from dryad.orchestration.tasks import Task
from flows._gate import ask
from tasks._journal import Carried, carried, keep_contract
from tasks.orchestration import conclude, decide, report, screen

CONTRACT = 1
"""Raised whenever the order, the keys or the stored types of the steps below change: a run that
waited under another number ends Superseded instead of reading its journal wrongly."""


class TaskForm(BaseModel):
    """What a person fills in to start a task; programs give `task_id` alone."""

    text: str = Field("", title="Task", description="What is to be done, in a few sentences.")
    context: dict[str, Any] = Field({}, title="Context", description="Facts beside the text.")
    agent: str = Field("", title="Agent", description="Leave empty to let DRYAD choose.")
    tenant: str = Field("default", title="Tenant")
    task_id: str = Field("", title="Task id", description="Set by programs; leave empty.")


@flow(name="orchestrate-task", flow_run_name="task-{request.task_id}")
async def orchestrate_task(request: TaskForm) -> State[Any]:
    """Screen, decide, ask where policy wants it, let the agents work, and report."""
    async with carried() as run:
        await keep_contract(CONTRACT)
        try:
            task = await screen(**request.model_dump())
        except (InvalidRequest, NotFound, Refused) as error:
            return Completed(name="Refused", message=f"{error.message}. {error.next_step}")
        if not task.ended:
            task = await _handle(task, run)
        await report(task)
        return _state(task)


async def _handle(task: Task, run: Carried) -> Task:
    """Do the task; whatever stops it is how it ends."""
    try:
        decision = await decide(task)
        if decision.route == "escalation":
            verdict = await ask(plan_question(task, run.id, decision))
            if not verdict.allows:
                return await _answered(task, verdict)
        findings = await _work(task, run.id, decision)
        return await conclude(task, "done", "", findings)
    except Refused as refusal:
        return await conclude(task, "refused", refusal.message, [])
    except Superseded:
        raise
    except DryadError as fault:
        await conclude(task, "failed", fault.message, [])
        raise


async def _work(task: Task, run: RunId, decision: Decision) -> list[Finding]:
    """Let every seat work as soon as those it waits for are done; branches work side by side."""
    findings: dict[str, Finding] = {}
    waiting = list(decision.seats)
    while waiting:
        ready = [seat for seat in waiting if findings.keys() >= set(seat.after)]
        done = await _wave(task, decision, ready, findings)
        findings.update(done)
        waiting = [seat for seat in waiting if seat.member not in findings]
    return [findings[seat.member] for seat in decision.seats]
