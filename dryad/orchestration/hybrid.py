"""One request, from its text to who does it, to what they are told, to one answer.

Pure over the stores it is handed: the flow decides when each part happens.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dryad.execution import episodes
from dryad.execution.agents import Agents
from dryad.execution.models.errands import read_task
from dryad.foundation.approval_rules import ANSWER, DOUBT
from dryad.foundation.ids import RunId, TenantId
from dryad.foundation.policies import Policies
from dryad.foundation.stops import Stops
from dryad.foundation.tool_rules import rank
from dryad.foundation.tools import TIERS, Tier, Tools
from dryad.orchestration import complexity, decision
from dryad.orchestration.complexity import Recalibration
from dryad.orchestration.critic import Critique, criticise
from dryad.orchestration.decision import Choice, Decision, Seat, Situation, more_dangerous
from dryad.orchestration.decisions import ENGINE, Decisions
from dryad.orchestration.evidence import Rung
from dryad.orchestration.findings import Finding
from dryad.orchestration.model_planner import RULES, Planned, plan_with
from dryad.orchestration.offline_planner import offline_plan
from dryad.orchestration.plan import MOST_STEPS, Plan
from dryad.orchestration.review.plans import plan_difference
from dryad.orchestration.review.questions import Case, Question
from dryad.orchestration.tasks import Task

if TYPE_CHECKING:
    from dryad.execution.models.language import Language


class HybridOrchestrator:
    """Routes tasks over the agents, tools and policies of their tenants."""

    def __init__(
        self,
        agents: Agents,
        tools: Tools,
        policies: Policies,
        stops: Stops,
        decisions: Decisions,
        *,
        tokens: int | None,
        language: "Callable[[TenantId], Language] | None" = None,
        critic: bool = True,
        most_steps: int = MOST_STEPS,
    ) -> None:
        """Hand over the stores.

        Args:
            agents: Who there is.
            tools: What they may call, and how risky it is.
            policies: When a person must be asked.
            stops: What is stopped.
            decisions: Where decisions are kept.
            tokens: The most a task may spend that names no budget; None when models use none.
            language: Makes the model that plans and objects; None: rules plan, nobody objects.
            critic: Whether a model reads what members of a task force found.
            most_steps: The most steps of a plan.
        """
        self._agents = agents
        self._tools = tools
        self._policies = policies
        self._stops = stops
        self._decisions = decisions
        self._tokens = tokens
        self._language = language
        self._critic = critic
        self._most_steps = most_steps

    def decide(self, task: Task) -> Decision:
        """Plan and score a task, choose who does it, and keep the decision.

        A task is decided on once: asked again, the decision that was kept comes back.

        Raises:
            Refused: a stop is in force for the tenant or for the agent that was named.
            Unavailable: the decision could not be stored; nothing may go on without it.
        """
        self._stops.check(task.tenant, agent=task.agent or None)
        kept = self._decisions.kept(task.id)
        return kept or self._decisions.store(task.tenant, task.id, self.consider(task))

    def consider(self, task: Task) -> Decision:
        """Return what would be decided now, and keep nothing."""
        planned = self._planned(task)
        # A model's plan may leave out a risky step that the text plainly asks for.
        return self._weighed(task, planned, planned.plan.tools | self._ruled(task).tools)

    def revise(self, task: Task, chosen: Decision, case: Case) -> Decision:
        """Weigh a task anew with the plan that a person allowed instead, and keep that.

        `details["revision"]["asks"]` says why a person has to be asked about it once more: it is
        more dangerous than what they were asked about.

        Args:
            task: The task, with what was spent on it so far.
            chosen: The decision they were asked about.
            case: What they said.
        """
        plan, verdict = case.edited_plan, case.verdict
        assert plan is not None
        assert verdict is not None
        earlier = chosen.details.get("revision", {}).get("number", 0)
        revised = self._weighed(task, Planned(plan, by=verdict.by), plan.tools)
        revised.details["revision"] = {
            "number": earlier + 1,
            "case": case.id,
            "by": verdict.by,
            "difference": plan_difference(Plan.from_json(chosen.details["plan"]), plan),
            "asks": list(more_dangerous(chosen, revised)),
        }
        # A person was asked, whatever the new plan would have led to.
        return self._decisions.revise(task.tenant, task.id, replace(revised, route="escalation"))

    def _weighed(self, task: Task, planned: Planned, tools: Collection[str]) -> Decision:
        plan = planned.plan
        tier = self._tier(task, tools)
        policy = self._policies.current(task.tenant)
        stopped = {stop.scope: stop.reason for stop in self._stops.list(task.tenant)}
        scored = complexity.score(
            task.text,
            plan,
            tier,
            recalibration=Recalibration(policy.score_slope, policy.score_offset),
            threshold=policy.task_force_above,
        )
        situation = Situation(
            policy=policy,
            capable=self._capable(task, plan, stopped),
            stopped={
                tool: stopped[f"tool:{tool}"] for tool in plan.tools if f"tool:{tool}" in stopped
            },
            tokens=None if self._tokens is None else self._left(task, self._tokens),
            named_agent=task.agent,
        )
        chosen = decision.decide(plan, scored, tier, situation)
        chosen.details["planner"] = planned.to_json()
        chosen.details["drafted"] = self._drafted(task, plan)
        return chosen

    @property
    def criticises(self) -> bool:
        """Whether there is a model that may object."""
        return self._critic and self._language is not None and self._tokens is not None

    def criticise(self, task: Task, chosen: Decision, findings: Sequence[Finding]) -> Critique:
        """Let a model object to what the members of a task force found, when there is one to ask.

        Args:
            task: The task, with what was spent on it so far.
            chosen: Who did which part.
            findings: What they found.

        Raises:
            Refused: a stop is in force for the tenant.
        """
        language = self._language
        if language is None or self._tokens is None or not self._critic or len(findings) < 2:
            return Critique()
        self._stops.check(task.tenant)
        return criticise(
            lambda: language(task.tenant),
            task.text,
            chosen,
            findings,
            most_tokens=self._left(task, self._tokens),
        )

    def _planned(self, task: Task) -> Planned:
        language = self._language
        if language is None or task.agent or self._tokens is None:
            return Planned(self._ruled(task))
        active = [agent for agent in self._agents.list(task.tenant) if agent.status == "active"]
        return plan_with(
            lambda: language(task.tenant),
            task.text,
            capabilities={name for agent in active for name in agent.capabilities},
            tools={tool.name for tool in self._tools.list(task.tenant, active_only=True)},
            most_tokens=self._left(task, self._tokens),
            most_steps=self._most_steps,
        )

    def _ruled(self, task: Task) -> Plan:
        return offline_plan(task.text, most_steps=self._most_steps)

    def _left(self, task: Task, most: int) -> int:
        return max(0, int(task.budget.get("tokens", most)) - task.tokens)

    def _capable(self, task: Task, plan: Plan, stopped: Mapping[str, str]) -> Mapping[str, Choice]:
        best: dict[str, Choice] = {}
        load = self._decisions.at_work(task.tenant)
        for capability in sorted(plan.capabilities):
            found = [
                agent
                for agent in self._agents.discover(task.tenant, [capability], load=load)
                if f"agent:{agent.id}" not in stopped
            ]
            if found:
                others = tuple(agent.id for agent in found[1:4])
                best[capability] = Choice(found[0].id, round(found[0].reliability, 3), others)
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

    def _tier(self, task: Task, tools: Collection[str]) -> Tier:
        known: dict[str, Tier] = {
            # Of several versions the newest is what would be called: the last one counts here.
            spec.name: spec.tier
            for spec in reversed(self._tools.list(task.tenant, active_only=True))
        }
        # An unknown tool is refused when it is called; for the decision it counts as the riskiest.
        return TIERS[max((rank(known.get(name, TIERS[-1])) for name in tools), default=0)]


def counting_plan(task: Task, chosen: Decision) -> Task:
    """Return a task, as it stood before it was decided on, with what its planner used."""
    planner = chosen.details["planner"]
    return replace(
        task,
        tokens=task.tokens + planner["tokens"],
        cost_usd=task.cost_usd + planner["cost_usd"],
    )


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
    call, revision = chosen.details["drafted"], chosen.details.get("revision")
    changed = f"\n\nWhat was changed in it:\n{revision['difference']}" if revision else ""
    return Question(
        tenant=task.tenant,
        task=task.id,
        run=run,
        member=ENGINE,
        ordinal=1 + (revision["number"] if revision else 0),
        kind="escalation" if call is None else "approval",
        tier=chosen.tier,
        requester=task.requester,
        title="May this plan be carried out?" if revision is None else "May the edited plan be?",
        # The last reason says how the work would be divided.
        why="; ".join(revision["asks"] if revision else chosen.reasons[:-1]),
        action=f"The task:\n{task.text}\n\nThe plan:\n{steps}{changed}",
        call=call,
        plan=chosen.details["plan"],
        limits=(
            f"The plan was made by {_planner(chosen)} from the text of the task, and nothing has "
            "been done so far. An agent that wants to make any other risky call than one shown "
            "here has to ask again, with the exact arguments. Whether what is written is true was "
            "not checked."
        ),
        policy_version=chosen.policy_version,
    )


def call_question(task: Task, run: RunId, seat: Seat, asked: episodes.Question) -> Question:
    """Return what a person is asked about one tool call of a seat."""
    doubt = asked.kind == "doubt"
    read = "It had read untrusted text before." if asked.untrusted else ""
    again = "an earlier yes to it was not used in time" if asked.asked else ""
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
            else f"the tool is of risk tier {asked.tier}{'; ' * bool(again)}{again}"
        ),
        action=f"{seat.agent} wants to call {asked.tool} {asked.version}: {asked.description}",
        call={
            "tool": asked.tool,
            "version": asked.version,
            "arguments": dict(asked.arguments),
        },
        policy_version=asked.policy_version,
        agent=seat.agent,
        acts=DOUBT if doubt else asked.action,
        asked=asked.asked,
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
        reason="; ".join([said.reason, *(f"{sender} said: {text}" for sender, text in case.talk)]),
        reply=said.reply,
        arguments=said.edited_arguments,
        case=case.id,
    )


def patience(task: Task) -> int:
    """Return for how many seconds a question of the task waits; 0: the usual time."""
    return int(task.budget.get("answer_within_seconds", 0))


def evidence_question(
    task: Task, run: RunId, findings: Sequence[Finding], ladder: Sequence[Rung]
) -> Question:
    """Return what a person is asked about an answer that did not stand up to its checks."""
    answers = "\n\n".join(f"{finding.seat.member}:\n{finding.text}" for finding in findings)
    return Question(
        tenant=task.tenant,
        task=task.id,
        run=run,
        member=ENGINE,
        ordinal=2,
        acts=ANSWER,
        kind="guidance",
        tier="read",
        requester=task.requester,
        title="May this answer be given?",
        why="; ".join(f"{rung.member}: {', '.join(rung.doubts)}" for rung in ladder),
        action=f"The task:\n{task.text}\n\nWhat was found:\n{answers}",
        limits=(
            "Checked was only what an agent did: whether its sources speak of what it says, and "
            "whether its programs ran. Approve gives the answer as it is, with this remark."
        ),
    )


def prompt(
    chosen: Decision, seat: Seat, earlier: Sequence[Finding], objections: Sequence[str] = ()
) -> str:
    """Return what one seat is told: its steps of the plan, and what others found before.

    Args:
        chosen: The decision with the plan.
        seat: Who is told.
        earlier: What the seats it waits for found.
        objections: Why an earlier answer to the same part was not accepted.
    """
    plan = {step.id: step for step in Plan.from_json(chosen.details["plan"]).steps}
    told = "\n".join(plan[step].text for step in seat.steps)
    if earlier:
        told += "\n\nFindings:\n"
        told += "\n\n".join(f"{finding.seat.member}: {finding.text}" for finding in earlier)
    if objections:
        told += "\n\nNotes:\nAn earlier answer was not accepted: " + "; ".join(objections)
    return told


def _planner(chosen: Decision) -> str:
    return str(chosen.details.get("planner", {}).get("by", RULES))


def _who(seats: Sequence[Seat], step: str) -> str:
    return next((seat.agent for seat in seats if step in seat.steps), "nobody yet")
