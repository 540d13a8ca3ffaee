"""Level 1 as steps of a run: one episode of one agent, and each tool call it makes."""

from dataclasses import dataclass, replace
from decimal import Decimal

from prefect import task
from prefect.artifacts import acreate_markdown_artifact

from dryad.execution.agent_loop import advance as advance_agent
from dryad.execution.episodes import Asks, Done, Episode, Limits, Usage
from dryad.execution.steps import RunSteps
from dryad.execution.tool_calls import ToolOutcome
from dryad.execution.toolbox import Errand, GrantedTools
from dryad.execution.transcript import transcript
from dryad.foundation.tools import Permit
from dryad.orchestration.tasks import Task
from tasks._journal import carried_run, step
from tasks._policy import PLAIN
from tasks._services import services


@step("advance", shown_as="{member}: episode {episode.number}")
async def advance(
    member: str,
    work: Task,
    agent: str,
    episode: Episode,
    seats: int,
) -> Done | Asks:
    """Let one agent work until it is done or asks; see `agent_loop.advance`.

    The budget of the task is shared out evenly among its `seats`, so all together never pass it.
    """
    dryad, run = services(), carried_run()
    who = dryad.agents.get(work.tenant, agent)
    told = f"{who.instructions}\n\nWhat is known already:\n{episode.instructions}"
    end = await advance_agent(
        replace(episode, instructions=told, limits=_share(work, seats)),
        model=dryad.models.model_for(work.tenant, who),
        tools=ShownTools(
            dryad.tools,
            dryad.toolbox,
            Errand(work.tenant, work.id, who.id),
            policy=lambda: dryad.policies.current(work.tenant),
            role=who.role,
        ),
        steps=RunSteps(dryad.journal, run.lease, spend=dryad.cases.spend),
        guard=Guard(work, who.id),
    )
    if isinstance(end, Done):
        page = transcript(member, end.progress.messages)
        await acreate_markdown_artifact(page, description=f"Transcript of {member}")
    return end


def _share(work: Task, seats: int) -> Limits:
    settings, budget = services().settings, work.budget
    return Limits(
        steps=settings.max_steps,
        tokens=int(budget.get("tokens", settings.max_tokens)) // seats,
        cost_usd=Decimal(str(budget.get("cost_usd", settings.max_cost_usd))) / seats,
        seconds=settings.max_run_time.total_seconds(),
    )


@dataclass(frozen=True)
class Guard:
    """Refuses an agent's next step when a kill switch is on; see `Stops.check`."""

    work: Task
    agent: str

    def __call__(self, kind: str, name: str, _most: Usage) -> None:
        """Let the step happen, or raise `Refused`."""
        services().stops.check(
            self.work.tenant,
            agent=self.agent,
            tool=name if kind == "tool" else None,
            run=carried_run().id,
        )


class ShownTools(GrantedTools):
    """The tools of one seat, each call shown as a task run."""

    async def call(self, step: str, permit: Permit) -> ToolOutcome:
        """See `ToolCaller.call`."""
        return await call_tool(step, permit, self.errand)


@task(name="tool", task_run_name="{permit.spec.name}", **PLAIN)
async def call_tool(step: str, permit: Permit, errand: Errand) -> ToolOutcome:
    """Make one permitted call; tried once, for the agent loop knows what a retry may do."""
    return await services().toolbox.run(step, permit, errand)
