"""One request, from its text to who does it, to what they are told, to one answer.

Pure over the stores it is handed: the flow decides when each part happens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dryad.execution import episodes
from dryad.execution.agents import Agents
from dryad.execution.models.errands import read_task
from dryad.foundation.ids import RunId
from dryad.foundation.policies import Policies
from dryad.foundation.stops import Stops
from dryad.foundation.tool_rules import rank
from dryad.foundation.tools import TIERS, Tier, Tools
from dryad.orchestration import complexity, decision
from dryad.orchestration.decision import Decision, Decisions, Seat
from dryad.orchestration.findings import Finding
from dryad.orchestration.plan import Plan, offline_plan
from dryad.orchestration.review.questions import Case, Question
from dryad.orchestration.tasks import Task

DECISION_ENGINE = "decision-engine"


@dataclass(frozen=True)
class Known:
    """What memory holds about a task, as text for an agent, and whether some is untrusted."""

    text: str
    untrusted: bool


class HybridOrchestrator:
    """Routes tasks over the agents, tools and policies of their tenants."""

    def __init__(
        self, agents: Agents, tools: Tools, policies: Policies, stops: Stops, decisions: Decisions
    ) -> None:
        self._agents = agents
        self._tools = tools
        self._policies = policies
        self._stops = stops
        self._decisions = decisions

    def decide(self, task: Task) -> Decision:
        """Plan and score a task, choose who does it, and keep the decision.

        Raises:
            Refused: a stop is in force for the tenant or for the agent that was named.
            Unavailable: the decision could not be stored; nothing may go on without it.
        """
        self._stops.check(task.tenant, agent=task.agent or None)
        plan = offline_plan(task.text)
        tier = self._tier(task, plan)
        chosen = decision.decide(
            plan,
            complexity.score(task.text, plan, tier),
            tier,
            policy=self._policies.current(task.tenant),
            capable=self._capable(task, plan),
            named_agent=task.agent,
        )
        chosen.details["drafted"] = self._drafted(task, plan)
        self._decisions.store(task.tenant, task.id, chosen)
        return chosen

    def _capable(self, task: Task, plan: Plan) -> Mapping[str, str]:
        best: dict[str, str] = {}
        for capability in sorted(plan.capabilities):
            found = self._agents.discover(task.tenant, [capability])
            if found:
                best[capability] = found[0].id
        return best

    def _drafted(self, task: Task, plan: Plan) -> dict[str, Any] | None:
        """Return the one message the plan would send, when its words stand in the task."""
        letters = [step for step in plan.steps if "notify" in step.tools]
        if len(letters) != 1:
            return None
        actions = [a for a in read_task(letters[0].text).actions if a.kind == "notify" and a.text]
        if len(actions) != 1:
            return None
        return {
            "tool": "notify",
            "version": self._tools.get(task.tenant, "notify").version,
            "arguments": {"to": actions[0].to, "message": actions[0].text},
        }

    def _tier(self, task: Task, plan: Plan) -> Tier:
        known: dict[str, Tier] = {
            # Of several versions the newest is what would be called: the last one counts here.
            spec.name: spec.tier
            for spec in reversed(self._tools.list(task.tenant, active_only=True))
        }
        # An unknown tool is refused when it is called; for the decision it counts as the riskiest.
        return TIERS[max((rank(known.get(name, TIERS[-1])) for name in plan.tools), default=0)]


def plan_question(task: Task, run: RunId, chosen: Decision) -> Question:
    """Return what a person is asked before anything of an escalated task happens.

    When the only risky step is one message whose words stand in the task, the exact call is shown
    and approved with the plan; else the plan alone is, and each risky call is asked about later.
    """
    plan = Plan.from_json(chosen.details["plan"])
    steps = "\n".join(
        f"{number}. {step.text}\n   → {_who(chosen.seats, step.id)}, may use: "
        f"{', '.join(step.tools)}"
        for number, step in enumerate(plan.steps, start=1)
    )
    call = chosen.details["drafted"]
    return Question(
        tenant=task.tenant,
        task=task.id,
        run=run,
        member=DECISION_ENGINE,
        ordinal=1,
        kind="escalation" if call is None else "approval",
        tier=chosen.tier,
        requester=task.requester,
        title="May this plan be carried out?",
        why="; ".join(chosen.reasons[:-1]),  # the last says how the work would be divided
        action=f"The task:\n{task.text}\n\nThe plan:\n{steps}",
        call=call,
        limits=(
            "The plan was made by rules from the text of the task, and nothing has been done so "
            "far. An agent that wants to make any other risky call than one shown here has to "
            "ask again, with the exact arguments. Whether what is written is true was not checked."
        ),
        policy_version=chosen.policy_version,
    )


def call_question(task: Task, run: RunId, seat: Seat, asked: episodes.Question) -> Question:
    """Return what a person is asked about one tool call of a seat."""
    doubt = asked.kind == "doubt"
    read = "It had read untrusted text before." if asked.untrusted else ""
    return Question(
        tenant=task.tenant,
        task=task.id,
        run=run,
        member=seat.member,
        ordinal=asked.ordinal,
        kind="guidance" if doubt else "approval",
        tier=asked.tier,
        requester=task.requester,
        title=f"Did {asked.tool} happen?" if doubt else f"May {asked.tool} be called?",
        why=(
            "a process died while this call was made and nobody knows whether it happened; "
            "approve makes it again, reject leaves it, reply says what came of it"
            if doubt
            else f"the tool is of risk tier {asked.tier}"
        ),
        action=f"{seat.agent} wants to call {asked.tool} {asked.version}: {asked.description}",
        call={
            "tool": asked.tool,
            "version": asked.version,
            "arguments": dict(asked.arguments),
        },
        origin=f"task {task.id}: {task.text}\n{read}".strip(),
        limits=(
            "The arguments were written by an agent. Whether what they say is true was not "
            "checked, and what the receiver does with them cannot be taken back."
        ),
    )


def verdict_of(case: Case) -> episodes.Verdict:
    """Return a closed case as the agent loop reads it."""
    said = case.verdict
    assert said is not None
    return episodes.Verdict(
        decision=said.decision,
        reason=said.reason,
        reply=said.reply,
        arguments=said.edited_arguments,
        case=case.id,
    )


def patience(task: Task) -> int:
    """Return for how many seconds a question of the task waits; 0: the usual time."""
    return int(task.budget.get("answer_within_seconds", 0))


def prompt(chosen: Decision, seat: Seat, earlier: Sequence[Finding]) -> str:
    """Return what one seat is told: its steps of the plan, and what others found before."""
    plan = {step.id: step for step in Plan.from_json(chosen.details["plan"]).steps}
    told = "\n".join(plan[step].text for step in seat.steps)
    if earlier:
        told += "\n\nFindings:\n"
        told += "\n\n".join(f"{finding.seat.member}: {finding.text}" for finding in earlier)
    return told


def _who(seats: Sequence[Seat], step: str) -> str:
    return next((seat.agent for seat in seats if step in seat.steps), "nobody yet")
