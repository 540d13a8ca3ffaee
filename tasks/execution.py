"""Level 1 as steps of a run: one episode of one agent, and each tool call it makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dryad.execution.agent_loop import advance as advance_agent
from dryad.execution.episodes import Asks, Done, Episode, Usage
from dryad.execution.steps import Approval, RunSteps
from dryad.execution.tool_calls import ToolOutcome
from prefect import task
from sqlalchemy.orm import Session

from dryad.execution.agents import Agent
from dryad.foundation.tools import Permit, ToolSpec
from dryad.orchestration.tasks import Task
from tasks._journal import carried_run, step
from tasks._policy import PLAIN
from tasks._services import services


@step("advance", shown_as="{member}: episode {episode.number}")
async def advance(member: str, work: Task, agent: str, episode: Episode) -> Done | Asks:
    """Let one agent work until it is done or asks; see `agent_loop.advance`."""
    dryad, run = services(), carried_run()
    who = dryad.agents.get(work.tenant, agent)
    told = f"{who.instructions}\n\nWhat is known already:\n{episode.instructions}"
    return await advance_agent(
        replace(episode, instructions=told),
        model=dryad.models.model_for(work.tenant, who),
        tools=SeatTools(work, who, member),
        steps=RunSteps(dryad.journal, run.lease, spend=_spend),
        guard=Guard(work, who.id),
    )


def _spend(session: Session, approval: Approval) -> None:
    call = {
        "tool": approval.tool,
        "version": approval.version,
        "arguments": dict(approval.arguments),
    }
    services().cases.spend(approval.case, call=call, step=approval.step, session=session)


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


@dataclass(frozen=True)
class SeatTools:
    """The tools of one seat; each call is decided in code and shown as a task run."""

    work: Task
    agent: Agent
    member: str

    def offered(self) -> Sequence[ToolSpec]:
        """See `ToolCaller.offered`."""
        return services().tools.offered(self.work.tenant, self.agent.id, role=self.agent.role)

    def permit(self, tool: str, arguments: Mapping[str, Any], *, untrusted: bool) -> Permit:
        """See `ToolCaller.permit`."""
        dryad = services()
        return dryad.tools.permit(
            self.work.tenant,
            self.agent.id,
            tool,
            arguments,
            policy=dryad.policies.current(self.work.tenant),
            role=self.agent.role,
            untrusted=untrusted,
        )

    async def call(self, step: str, permit: Permit) -> ToolOutcome:
        """See `ToolCaller.call`."""
        return await call_tool(step, permit, self.work)


@task(name="tool", task_run_name="{step}", **PLAIN)
async def call_tool(step: str, permit: Permit, work: Task) -> ToolOutcome:
    """Make one permitted call; tried once, for the agent loop knows what a retry may do."""
    return await services().toolbox.call(permit, step=step, tenant=work.tenant, task=work.id)
