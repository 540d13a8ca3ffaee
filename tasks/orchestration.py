"""Level 3 as steps of a run: screening, deciding, asking, concluding, reporting."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.artifacts import acreate_markdown_artifact
from prefect.runtime import flow_run

from dryad.foundation.accounts import Amounts
from dryad.foundation.errors import LimitExceeded
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.critic import Checked, Critique
from dryad.orchestration.decision import Decision, Seat, shape, sole_agent
from dryad.orchestration.evidence import doubts
from dryad.orchestration.findings import Finding
from dryad.orchestration.report import report
from dryad.orchestration.requests import Request
from dryad.orchestration.review.questions import Case, Question
from dryad.orchestration.task_force import COORDINATOR, roles
from dryad.orchestration.tasks import Task
from tasks._guard import caps, paying
from tasks._journal import carried_run, step
from tasks._services import services

AWAITING = "awaiting-human"
UNVERIFIED = "ui:unverified"
"""Who asked, when a run was started from the form: the server does not know."""


@step("screen")
async def screen(task_id: str, text: str, context: dict[str, Any], agent: str, tenant: str) -> Task:
    """Find the task, or make it from the form; refuse what cannot become one.

    Raises:
        InvalidRequest: the form is no task.
        Conflict: another run carries the task.
    """
    run = carried_run().id
    if task_id:
        return await asyncio.to_thread(_found, TaskId(task_id), run)
    request = Request(
        tenant=TenantId(tenant),
        text=text,
        context=context,
        agent=agent,
        requester=UNVERIFIED,
        idempotency_key=f"run:{run}",
        run=run,
    )
    made = await asyncio.to_thread(services().tasks.submit, request)
    await _label(made.tenant, made.id)
    return await asyncio.to_thread(_begun, made)


def _found(task: TaskId, run: RunId) -> Task:
    found = services().tasks.find(task)
    services().tasks.sent(found.id, run)
    return _begun(found)


def _begun(task: Task) -> Task:
    return task if task.ended else services().tasks.set_status(task.id, "running")


@step("decide")
def decide(task: Task) -> Decision:
    """Plan, score and route the task; see `HybridOrchestrator.decide`.

    Raises:
        Refused: a stop is in force, or the accounts that pay allow no step or not that many seats.
    """
    budgets, accounts = services().budgets, paying(task)
    budgets.open(accounts, {accounts[-1]: caps(task)})
    held = budgets.reserve(accounts, {}, id=f"plan-{task.id}")
    chosen = services().orchestrator.decide(task)
    planner = chosen.details["planner"]
    budgets.settle(held.id, _asked_once(planner["tokens"], planner["cost_usd"]))
    _allow_shape(task, chosen)
    return chosen


def _asked_once(tokens: int, cost_usd: Decimal | float) -> Amounts:
    return {"tokens": tokens, "cost_usd": cost_usd, "requests": min(1, tokens)}


def _allow_shape(task: Task, chosen: Decision) -> None:
    fan_out, depth = shape(chosen.seats)
    services().budgets.allow_shape(paying(task), fan_out=fan_out, depth=depth)


@step("revise")
def revise(task: Task, decision: Decision, case: Case) -> Decision:
    """Weigh the plan that a person allowed instead; see `HybridOrchestrator.revise`.

    Raises:
        Refused: the accounts that pay do not allow that many seats.
    """
    revised = services().orchestrator.revise(task, decision, case)
    _allow_shape(task, revised)
    return revised


@step("question", shown_as="question-{member}", recorded=lambda case: case.verdict is not None)
async def settle_case(
    member: str,  # noqa: ARG001 - names the member's own place in the journal
    question: Question,
    waits_seconds: int,
) -> Case:
    """Ask, or look whether it was answered; see `Cases.settle`. Recorded once it is answered."""
    dryad = services()
    wait = timedelta(seconds=waits_seconds) if waits_seconds else None
    case = await asyncio.to_thread(dryad.cases.settle, question, deadline=wait)
    waiting = case.verdict is None
    await asyncio.to_thread(
        dryad.tasks.set_status, question.task, "waiting" if waiting else "running"
    )
    await asyncio.to_thread(dryad.forces.pause, question.task, waits=waiting)
    await _label(question.tenant, question.task, waiting=waiting)
    return case


async def _label(tenant: TenantId, task: TaskId, *, waiting: bool = False) -> None:
    """Show in the run list which task the run carries, whose, and whether it waits for a person."""
    async with get_client() as client:
        # As this process found them: only runs themselves change their tags.
        tags = {*flow_run.tags, f"tenant:{tenant}", f"task:{task}", AWAITING}
        await client.update_flow_run(
            UUID(carried_run().id),
            # Prefect's own naming of flow runs would ask the server twice more, 20 ms of CPU.
            name=task,
            tags=sorted(tags if waiting else tags - {AWAITING}),
        )


@step("criticise")
def criticise(task: Task, decision: Decision, findings: list[Finding]) -> Critique:
    """Let a model object to what members found; see `HybridOrchestrator.criticise`.

    Where the accounts that pay allow no more, nobody objects.
    """
    orchestrator, budgets = services().orchestrator, services().budgets
    if not orchestrator.criticises:
        return Critique()
    try:
        held = budgets.reserve(paying(task), {}, id=f"critique-{task.id}")
    except LimitExceeded as limit:
        return Critique(refused=limit.message)
    critique = orchestrator.criticise(task, decision, findings)
    budgets.settle(held.id, _asked_once(critique.tokens, critique.cost_usd))
    return critique


@step("assemble")
def assemble(
    task: Task,
    decision: Decision,
    joining: list[Seat],
    doubted: list[Finding],
    critique: Critique,
) -> str:
    """Seat members of a task force, and tell those in doubt why; return the force's id."""
    forces = services().forces
    named = roles(decision)
    force = forces.assemble(
        task.tenant, task.id, task.text, [*decision.seats, *joining], roles=named
    )
    for finding in doubted:
        member = finding.seat.member
        forces.say(task.id, member, "proposal", {"text": finding.text}, turn="end")
        said: dict[str, Any] = {"of": member, "doubts": list(doubts(finding))}
        if objections := critique.objections.get(member):
            said |= {"objections": list(objections), "by": critique.by}
        forces.say(task.id, COORDINATOR, "critique", said, turn=member)
    return force


@step("conclude")
def conclude(task: Task, findings: list[Finding], checked: Checked) -> Task:
    """Write down the answer, once; see `Endings.conclude`."""
    return services().endings.conclude(task, findings, checked)


@step("judge")
def judge(task: Task, case: Case, findings: list[Finding], checked: Checked) -> Task:
    """End a task that a person did not allow to go on; see `Endings.judge`."""
    return services().endings.judge(task, case, findings, checked)


@step("fail")
def fail(task: Task, fault: str, refused: bool) -> Task:
    """End a task that a rule or a fault stopped, and close what is still asked about it.

    One that somebody cancelled while this process worked stays as it ended. A fault counts against
    the agent that did the task alone; of several nobody knows whose it was.
    """
    dryad = services()
    if (found := dryad.tasks.find(task.id)).ended:
        return found
    dryad.cases.upkeep.cancel(task.id, reason=fault)
    dryad.forces.fail(task.id)
    ended = dryad.tasks.finish(task.id, "refused" if refused else "failed", reason=fault)
    agent = sole_agent(dryad.decisions.of_task(task.tenant, task.id))
    if agent and not refused:
        dryad.agents.finished(task.tenant, agent, success=False, tokens=0)
    return ended


@step("report")
async def publish_report(task: Task) -> None:
    """Publish the report of an ended task, with its timeline, as the artifact of its run.

    It has no key: the Prefect UI then opens it at once, not the history of a key used once.
    """
    page = await asyncio.to_thread(_report, task)
    await acreate_markdown_artifact(page, description="Report")


def _report(task: Task) -> str:
    dryad = services()
    decision = dryad.decisions.of_task(task.tenant, task.id)
    cases = dryad.cases.of_task(task.tenant, task.id)
    return report(task, decision, cases, dryad.forces.of_task(task.id))


@step("supersede")
def supersede(task_id: str) -> Task:
    """End a task whose flow changed while it waited, and submit it anew; see `Tasks.renew`."""
    dryad, run = services(), carried_run().id
    found = dryad.tasks.find(TaskId(task_id)) if task_id else dryad.tasks.of_run(run)
    assert found is not None
    dryad.cases.upkeep.cancel(found.id, reason="the flow changed while the question waited")
    return dryad.tasks.renew(found.id)
