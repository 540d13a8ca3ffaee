"""Level 3 as steps of a run: screening, deciding, asking, concluding."""

import asyncio
from typing import Any

from prefect import get_client, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.decision import Decision
from dryad.orchestration.hybrid import Finding, synthesise
from dryad.orchestration.report import Work, decision_rows, report_markdown
from dryad.orchestration.requests import Request
from dryad.orchestration.review.questions import Case, Question
from dryad.orchestration.tasks import End, Task
from tasks._journal import carried_run, step
from tasks._policy import HEALING
from tasks._services import services

AWAITING = "awaiting-human"
UNVERIFIED = "ui:unverified"


@step("screen")
def screen(task_id: str, text: str, context: dict[str, Any], agent: str, tenant: str) -> Task:
    """Find the task, or make it from the form; refuse what cannot become one.

    Raises:
        InvalidRequest: the form is no task.
        Conflict: another run carries the task.
    """
    dryad, run = services(), carried_run().id
    if not task_id:
        request = Request(
            tenant=TenantId(tenant),
            text=text,
            context=context,
            agent=agent,
            requester=UNVERIFIED,
            idempotency_key=f"run:{run}",
            run=run,
        )
        task_id = dryad.tasks.submit(request).id
    found = dryad.tasks.find(TaskId(task_id))
    dryad.tasks.sent(found.id, run)
    return found if found.ended else dryad.tasks.set_status(found.id, "running")


@step("decide")
def decide(found: Task) -> Decision:
    """Plan, score and route the task; see `HybridOrchestrator.decide`."""
    return services().orchestrator.decide(found)


@task(name="question", task_run_name="question:{question.member}", **HEALING)
async def settle_case(question: Question) -> Case:
    """Ask, or look whether it was answered; see `Cases.settle`. Not a recorded step: the case is."""
    dryad = services()
    case = await asyncio.to_thread(dryad.cases.settle, question)
    waits = case.verdict is None
    await asyncio.to_thread(
        dryad.tasks.set_status, question.task, "waiting" if waits else "running"
    )
    await _tag(question, waiting=waits)
    return case


async def _tag(question: Question, *, waiting: bool) -> None:
    """Show in the run list whether the run waits for a person."""
    tags = {f"tenant:{question.tenant}", f"task:{question.task}"}
    if waiting:
        tags.add(AWAITING)
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, tags=sorted(tags))


@step("conclude")
def conclude(found: Task, end: End, reason: str, findings: list[Finding], answered_by: str) -> Task:
    """Write how the task ended, once, and what it brought; see `Tasks.finish`."""
    result = None
    if end == "done":
        result = {
            "answer": synthesise(findings),
            "citations": [c for finding in findings for c in finding.citations],
            "degraded": any(finding.degraded for finding in findings),
            "answered_by": answered_by,
        }
    return services().tasks.finish(found.id, end, reason=reason, result=result)


@step("report")
def report(ended: Task) -> None:
    """Publish the report of an ended task as artifacts of its run."""
    dryad, run = services(), carried_run().id
    decision = dryad.decisions.of_task(ended.tenant, ended.id)
    work = [Work.of_step(s) for s in dryad.journal.steps(RunId(run)) if Work.is_shown(s)]
    cases = dryad.cases.of_task(ended.tenant, ended.id)
    create_markdown_artifact(
        report_markdown(ended, decision, work, cases), key="report", description="What was asked"
    )
    if decision is not None:
        create_table_artifact(
            decision_rows(decision), key="decision", description="Who does it, and why"
        )
