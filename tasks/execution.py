"""Level 1 as steps of a run: one episode of one agent, and each tool call it makes."""

from dataclasses import dataclass

from dryad.execution.agent_loop import advance as advance_agent
from dryad.execution.episodes import Asks, Done, Episode, Limits, Progress, Usage, Verdict
from dryad.execution.steps import RunSteps

from dryad.orchestration.tasks import Task
from tasks._journal import carried_run, step
from tasks._policy import HEALING
from tasks._services import services


@step("advance", shown_as="{member}-episode-{number}", policy=HEALING)
async def advance(
    member: str,
    number: int,
    work: Task,
    agent: str,
    prompt: str,
    limits: Limits,
    progress: Progress | None,
    verdicts: dict[str, Verdict],
) -> Done | Asks:
    """Let one agent work until it is done or asks; see `agent_loop.advance`."""
    dryad, run = services(), carried_run()
    who = dryad.agents.get(work.tenant, agent)
    episode = Episode(
        run=run.id,
        member=member,
        number=number,
        instructions=who.instructions,
        prompt=prompt,
        limits=limits,
        progress=progress,
        verdicts=verdicts,
    )
    return await advance_agent(
        episode,
        model=dryad.models.model_for(work.tenant, who),
        tools=SeatTools(work, run.id, who.id, who.role, member),
        steps=RunSteps(dryad.journal, run.lease, spend=dryad.cases.spend),
        guard=Guard(work, agent),
    )


@dataclass(frozen=True)
class Guard:
    """Stops an agent before its next step when a kill switch is on."""

    work: Task
    agent: str

    def __call__(self, kind: str, name: str, most: Usage) -> None:
        """Refuse the step when a stop is in force for its tenant, agent, tool or run."""
        services().stops.check(
            self.work.tenant,
            agent=self.agent,
            tool=name if kind == "tool" else None,
            run=carried_run().id,
        )
