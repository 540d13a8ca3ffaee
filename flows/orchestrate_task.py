"""One task, from its request to a report a person can trust."""

import asyncio
from collections.abc import Sequence
from typing import Any

from dryad.execution.episodes import Asks, Done
from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, State
from pydantic import BaseModel, Field

from dryad.foundation.errors import DryadError, InvalidRequest, NotFound, Refused
from dryad.foundation.ids import RunId
from dryad.orchestration.decision import Decision, Seat
from dryad.orchestration.findings import Finding
from dryad.orchestration.hybrid import call_question, patience, plan_question, prompt
from dryad.orchestration.tasks import Task
from flows._gate import ask
from tasks._journal import carried, keep_contract
from tasks.execution import advance, as_verdict, limits_of_seat
from tasks.memory import recall, remember
from tasks.orchestration import (
    assemble,
    conclude,
    decide,
    fail,
    judge,
    publish_report,
    screen,
    supersede,
)

CONTRACT = 1
"""Raised whenever the order, the keys or the stored types of the steps below change: a run that
waited under another number ends Superseded instead of reading its journal wrongly."""


class TaskForm(BaseModel):
    """What a person fills in to start a task; programs give `task_id` alone."""

    text: str = Field("", title="Task", description="What is to be done, in a few sentences.")
    context: dict[str, Any] = Field({}, title="Context", description="Facts beside the text.")
    agent: str = Field("", title="Agent", description="Leave empty to let DRYAD choose.")
    tenant: str = Field("default", title="Tenant", description="Whose memory and tools it uses.")
    task_id: str = Field("", title="Task id", description="Set by programs; leave empty.")


def _run_name() -> str:
    request: dict[str, Any] = flow_run.parameters["request"]
    return request.get("task_id") or f"form-{str(flow_run.id)[:8]}"


@flow(name="orchestrate-task", flow_run_name=_run_name)
async def orchestrate_task(request: TaskForm) -> State[Any]:
    """Screen, decide, ask where policy wants it, let the agents work, remember, and report."""
    async with carried() as run:
        if not await keep_contract(CONTRACT):
            return _state(await supersede(request.task_id))
        try:
            task = await screen(**request.model_dump())
        except (InvalidRequest, NotFound, Refused) as error:
            return Completed(name="Refused", message=f"{error.message}. {error.next_step}")
        if not task.ended:
            task = await _handle(task, run.id)
        await publish_report(task)
        return _state(task)


async def _handle(task: Task, run: RunId) -> Task:
    """Do the task; whatever stops it is how it ends."""
    try:
        decision = await decide(task)
        if decision.route == "escalation":
            verdict = await ask(plan_question(task, run, decision), seconds=patience(task))
            if not verdict.allows:
                return await judge(task, verdict)
        known = await recall(task)
        findings = await _work(task, run, decision, known)
        await remember(task, findings)
        return await conclude(task, findings)
    except DryadError as fault:
        ended = await fail(task, fault.message, isinstance(fault, Refused))
        if ended.status == "failed":
            raise
        return ended


async def _work(task: Task, run: RunId, decision: Decision, known: str) -> list[Finding]:
    """Let each seat work once those it waits for are done; the others work side by side."""
    await assemble(task, decision)
    findings: dict[str, Finding] = {}
    while len(findings) < len(decision.seats):
        ready = [
            seat
            for seat in decision.seats
            if seat.member not in findings and findings.keys() >= set(seat.after)
        ]
        findings |= await _wave(task, run, decision, ready, known, findings)
    return [findings[seat.member] for seat in decision.seats]


async def _wave(
    task: Task,
    run: RunId,
    decision: Decision,
    seats: Sequence[Seat],
    known: str,
    findings: dict[str, Finding],
) -> dict[str, Finding]:
    """Let seats work at the same time, episode by episode, until each is done.

    What they ask is asked one after another in this body, for a run has one open form.
    """
    limits = limits_of_seat(task, seats=len(decision.seats))
    told = {seat: prompt(decision, seat, [findings[earlier] for earlier in seat.after])
            for seat in seats}  # fmt: skip
    asking: dict[Seat, Asks | None] = dict.fromkeys(seats)
    done: dict[str, Finding] = {}
    number = 0
    while asking:
        number += 1
        verdicts = {
            seat: {
                question.call_id: as_verdict(
                    await ask(call_question(task, run, seat, question), seconds=patience(task))
                )
                for question in (asks.questions if asks else ())
            }
            for seat, asks in asking.items()
        }
        ends = await _together(
            advance(
                seat.member, number, task, seat.agent, told[seat], known, limits,
                asks.progress if asks else None, verdicts[seat],
            )
            for seat, asks in asking.items()
        )  # fmt: skip
        done |= {
            seat.member: Finding(seat, end)
            for seat, end in zip(asking, ends, strict=True)
            if isinstance(end, Done)
        }
        asking = {
            seat: end for seat, end in zip(asking, ends, strict=True) if isinstance(end, Asks)
        }
    return done


async def _together(episodes: Any) -> list[Done | Asks]:
    """Run episodes side by side; a failure is raised only when the others have come to an end."""
    ends = await asyncio.gather(*episodes, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    return list(ends)


def _state(task: Task) -> State[Any]:
    """Say to the Prefect UI how the task ended; the task's row is the truth."""
    message = task.reason or "see the report"
    if task.status == "done":
        return Completed(message=message)
    if task.status == "cancelled":
        return Cancelled(message=message)
    return Completed(name=task.status.capitalize(), message=message)
