"""One task, from its request to a report a person can trust."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed
from pydantic import BaseModel, Field

from dryad.execution.episodes import Asks, Done, Episode, Usage, Verdict
from dryad.foundation.errors import DryadError, InvalidRequest, NotFound, Refused
from dryad.foundation.ids import RunId
from dryad.orchestration.critic import Checked, Critique
from dryad.orchestration.decision import Decision, Seat
from dryad.orchestration.evidence import AGAIN, climb, doubts, second_seats
from dryad.orchestration.findings import Finding
from dryad.orchestration.hybrid import (
    call_question,
    counting_plan,
    evidence_question,
    patience,
    plan_question,
    prompt,
    verdict_of,
)
from dryad.orchestration.known import Known
from dryad.orchestration.review.questions import Case
from dryad.orchestration.tasks import Task
from flows._gate import ask
from tasks._journal import carried, keep_contract
from tasks.execution import advance
from tasks.memory import recall, remember
from tasks.orchestration import (
    assemble,
    conclude,
    criticise,
    decide,
    fail,
    judge,
    publish_report,
    revise,
    screen,
    supersede,
)

CONTRACT = 7
"""Raised whenever the order, the keys or the stored types of the steps below change: a run that
waited under another number ends Superseded instead of reading its journal wrongly."""


class TaskForm(BaseModel):
    """What you ask for. The first field is enough."""

    # Without a default, so that the UI wants it; programs give a task's id and no text.
    text: str = Field(title="Task", description="What is to be done, in a few sentences.")
    context: dict[str, Any] = Field(
        {}, title="Context", description="Facts beside the text, as JSON."
    )
    agent: str = Field("", title="Agent", description="Leave empty to let DRYAD choose.")
    tenant: str = Field("default", title="Tenant", description="Whose memory and tools it uses.")
    task_id: str = Field("", title="Task id", description="For programs; leave it empty.")


@dataclass
class Briefing:
    """What seats are told beside their own part of the plan."""

    run: RunId
    known: Known
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    objections: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Why an earlier answer to the same part was not accepted, by who does it over."""

    def heard(self, seat: Seat) -> list[Finding]:
        """Return whose words reach a seat: of those it waits for, and of whom it does over."""
        told = (*seat.after, seat.member.removesuffix(AGAIN))
        return [self.findings[member] for member in told if member in self.findings]


@flow(name="orchestrate-task")
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
        task = counting_plan(task, decision)
        if decision.route == "escalation":
            decision, case = await _allowed(task, run, decision)
            if not case.allows:
                return await judge(task, case, [], Checked())
        brief = await _work(task, run, decision)
        checked = await _check(task, decision, brief)
        findings = [brief.findings[seat.member] for seat in decision.seats]
        if checked.asks:
            question = evidence_question(task, run, findings, checked.ladder)
            case = await ask(question, seconds=patience(task))
            if not case.allows:
                return await judge(task, case, findings, checked)
        await remember(task, findings)
        return await conclude(task, findings, checked)
    except DryadError as fault:
        ended = await fail(task, fault.message, isinstance(fault, Refused))
        if ended.status == "failed":
            raise
        return ended


async def _allowed(task: Task, run: RunId, decision: Decision) -> tuple[Decision, Case]:
    """Ask about a plan until a person said yes or no to it, as it is or as they edited it.

    An edited plan that is more dangerous than the one asked about is asked about in its turn.
    """
    while True:
        case = await ask(plan_question(task, run, decision), seconds=patience(task))
        if not case.allows or case.edited_plan is None:
            return decision, case
        decision = await revise(task, decision, case)
        if not decision.details["revision"]["asks"]:
            return decision, case


async def _work(task: Task, run: RunId, decision: Decision) -> Briefing:
    """Let each seat work once those it waits for are done; the others work side by side."""
    if len(decision.seats) > 1:
        await assemble(task, decision, [], [], Critique())
    brief = Briefing(run, await recall(task))
    while len(brief.findings) < len(decision.seats):
        ready = [
            seat
            for seat in decision.seats
            if seat.member not in brief.findings and brief.findings.keys() >= set(seat.after)
        ]
        brief.findings.update(await _wave(task, decision, ready, brief))
    return brief


async def _check(task: Task, decision: Decision, brief: Briefing) -> Checked:
    """Let what is in doubt be done over by another agent; what stays in doubt is for a person.

    What a task force found is read by a critic as well.
    """
    found = list(brief.findings.values())
    spent, critique = _spent(task, (one.done.usage for one in found)), Critique()
    if len(decision.seats) > 1:
        critique = await criticise(spent, decision, found)
    doubted = [one for one in found if doubts(one) or one.seat.member in critique.objections]
    if not doubted:
        return Checked((), critique)
    again = second_seats(decision, doubted)
    await assemble(task, decision, again, doubted, critique)
    for seat in again:
        member = seat.member.removesuffix(AGAIN)
        why = (*doubts(brief.findings[member]), *critique.objections.get(member, ()))
        brief.objections[seat.member] = why
    second = await _wave(_spent(spent, [critique]), decision, again, brief)
    ladder = climb(doubted, second, critique.objections)
    taken = {rung.member for rung in ladder if rung.outcome == "accepted"}
    brief.findings.update((member, second[f"{member}{AGAIN}"]) for member in taken)
    return Checked(tuple(ladder), critique)


def _spent(task: Task, used: Iterable[Usage | Critique]) -> Task:
    """Return the task with what was used so far: the rest is for those who come after."""
    for one in used:
        task = replace(
            task, tokens=task.tokens + one.tokens, cost_usd=task.cost_usd + float(one.cost_usd)
        )
    return task


async def _wave(
    task: Task, decision: Decision, seats: Sequence[Seat], brief: Briefing
) -> dict[str, Finding]:
    """Let seats work at the same time, episode by episode, until each is done.

    What they ask is asked one after another in this body, for a run has one open form.
    """
    sharing = len(brief.objections) or len(decision.seats)
    in_force = sharing > 1 or bool(brief.objections)
    episodes = {
        seat: Episode(
            run=brief.run,
            member=seat.member,
            number=1,
            instructions=brief.known.text,
            untrusted=brief.known.untrusted
            or any(found.done.untrusted for found in brief.heard(seat)),
            prompt=prompt(
                decision,
                seat,
                [brief.findings[earlier] for earlier in seat.after],
                brief.objections.get(seat.member, ()),
            ),
        )
        for seat in seats
    }
    done: dict[str, Finding] = {}
    while episodes:
        ends = await _together(
            advance(seat.member, task, seat.agent, episode, sharing=sharing, in_force=in_force)
            for seat, episode in episodes.items()
        )
        following: dict[Seat, Episode] = {}
        for (seat, episode), end in zip(episodes.items(), ends, strict=True):
            if isinstance(end, Done):
                done[seat.member] = Finding(seat, end)
            else:
                following[seat] = replace(
                    episode,
                    number=episode.number + 1,
                    progress=end.progress,
                    verdicts=await _verdicts(task, brief.run, seat, end),
                )
        episodes = following
    return done


async def _verdicts(task: Task, run: RunId, seat: Seat, asks: Asks) -> dict[str, Verdict]:
    verdicts: dict[str, Verdict] = {}
    for question in asks.questions:
        case = await ask(call_question(task, run, seat, question), seconds=patience(task))
        verdicts[question.call_id] = verdict_of(case)
    return verdicts


async def _together(
    episodes: Iterable[Coroutine[Any, Any, Done | Asks]],
) -> list[Done | Asks]:
    """Run episodes side by side; a failure is raised only when the others have come to an end."""
    ends = await asyncio.gather(*episodes, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    return [end for end in ends if not isinstance(end, BaseException)]


def _state(task: Task) -> State[Any]:
    """Say to the Prefect UI how the task ended; the task's row is the truth."""
    message = task.reason or "see the report"
    if task.status == "done":
        return Completed(message=message)
    if task.status == "cancelled":
        return Cancelled(message=message)
    return Completed(name=task.status.capitalize(), message=message)
