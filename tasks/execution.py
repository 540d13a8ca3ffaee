"""Level 1 as steps of a run: one episode of one agent, and each tool call it makes."""

import asyncio
from dataclasses import replace
from decimal import Decimal

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.events import emit_event

from dryad.execution.agent_loop import advance as advance_agent
from dryad.execution.episodes import Asks, Done, Episode, Limits
from dryad.execution.guard import Guard
from dryad.execution.steps import RunSteps
from dryad.execution.tool_calls import ToolOutcome
from dryad.execution.toolbox import Errand, GrantedTools
from dryad.execution.transcript import transcript
from dryad.foundation.canonical import digest
from dryad.foundation.tools import Permit
from dryad.orchestration.evidence import AGAIN
from dryad.orchestration.tasks import Task
from tasks._guard import Governed, NoMore
from tasks._journal import carried_run, step
from tasks._policy import PLAIN
from tasks._services import services


async def _given_up(
    fault: str,
    _member: str,
    work: Task,
    agent: str,
    episode: Episode,
    *,
    sharing: int,
    in_force: bool,
) -> Done | Asks:
    """Return what an episode came to that no retry helped: what is recorded of it, nothing more."""
    return await _episode(
        work, agent, episode, sharing=sharing, in_force=in_force, guard=NoMore(fault)
    )


@step("advance", shown_as="{member}: episode {episode.number}", exhausted=_given_up)
async def advance(
    member: str,
    work: Task,
    agent: str,
    episode: Episode,
    *,
    sharing: int,
    in_force: bool,
) -> Done | Asks:
    """Let one agent work until it is done or asks; see `agent_loop.advance`.

    What is left of the task's budget is shared out evenly among those `sharing` it, so all together
    never pass it. In a task force what a member finds, asks and is told stands in the log. An
    outage that outlasts the retries stops the agent as a limit would, with what it had done.
    """
    end = await _episode(
        work,
        agent,
        episode,
        sharing=sharing,
        in_force=in_force,
        guard=Governed.of(work, agent, episode.member),
    )
    if isinstance(end, Done):
        page = transcript(member, end.progress.messages)
        await acreate_markdown_artifact(page, description=f"Transcript of {member}")
    return end


async def _episode(
    work: Task, agent: str, episode: Episode, *, sharing: int, in_force: bool, guard: Guard
) -> Done | Asks:
    dryad, run = services(), carried_run()
    who = dryad.agents.get(work.tenant, agent)
    told = f"{who.instructions}\n\nWhat is known already:\n{episode.instructions}"
    if in_force:
        await asyncio.to_thread(_hear, work, episode)
    errand = Errand(work.tenant, work.id, who.id)
    end = await advance_agent(
        replace(episode, instructions=told, limits=_share(work, sharing)),
        model=dryad.models.model_for(work.tenant, who),
        tools=ShownTools(
            dryad.tools,
            dryad.toolbox,
            errand,
            policy=lambda: dryad.policies.current(work.tenant),
            heard_by=lambda: dryad.models.listeners(work.tenant, dryad.agents.list(work.tenant)),
            role=who.role,
        ),
        steps=RunSteps(
            dryad.journal,
            run.lease,
            spend=dryad.cases.spend,
            note=dryad.tool_history.noting(errand),
        ),
        guard=guard,
    )
    if in_force:
        await asyncio.to_thread(_tell, work, episode, end)
    return end


def _hear(work: Task, episode: Episode) -> None:
    """Put what a person answered into the log of the task force."""
    for verdict in episode.verdicts.values():
        said = {"case": verdict.case, "decision": verdict.decision, "reason": verdict.reason}
        services().forces.say(work.id, episode.member, "answer", said, turn=f"case {verdict.case}")


def _tell(work: Task, episode: Episode, end: Done | Asks) -> None:
    """Put what a member found, or asks, into the log of the task force."""
    say, turn = services().forces.say, f"episode {episode.number}"
    if isinstance(end, Asks):
        asked = {"tools": [question.tool for question in end.questions]}
        say(work.id, episode.member, "question", asked, turn=turn)
    else:
        kind = "refinement" if episode.member.endswith(AGAIN) else "proposal"
        say(work.id, episode.member, kind, {"text": end.output or end.reason}, turn="end")


def _share(work: Task, sharing: int) -> Limits:
    settings, budget = services().settings, work.budget
    tokens = int(budget.get("tokens", settings.max_tokens)) - work.tokens
    cost = Decimal(str(budget.get("cost_usd", settings.max_cost_usd))) - Decimal(str(work.cost_usd))
    return Limits(
        steps=settings.max_steps,
        tokens=max(0, tokens) // sharing,
        cost_usd=max(Decimal(0), cost) / sharing,
        seconds=settings.max_run_time.total_seconds(),
    )


class ShownTools(GrantedTools):
    """The tools of one seat, each call shown as a task run."""

    async def call(self, step: str, permit: Permit) -> ToolOutcome:
        """See `ToolCaller.call`; where the policy wants it, somebody is told that it happens."""
        if permit.notify:
            await asyncio.to_thread(_notify, step, permit, self.errand)
        return await call_tool(step, permit, self.errand)


def _notify(step: str, permit: Permit, errand: Errand) -> None:
    """Put a call that nobody had to allow on record, and send the event automations wait for."""
    about = {"tool": permit.spec.name, "version": permit.spec.version, "tier": permit.tier}
    services().audit.append(
        errand.tenant,
        "call_notified",
        actor=errand.agent,
        subject=errand.task,
        data={**about, "step": step, "arguments": digest(permit.arguments)},
    )
    emit_event(
        "dryad.call.notified",
        resource={"prefect.resource.id": f"dryad.task.{errand.task}", **about},
        payload={**about, "tenant": errand.tenant, "agent": errand.agent},
    )


@task(name="tool", task_run_name="{permit.spec.name}", **PLAIN)
async def call_tool(step: str, permit: Permit, errand: Errand) -> ToolOutcome:
    """Make one permitted call; tried once, for the agent loop knows what a retry may do."""
    return await services().toolbox.run(step, permit, errand)
