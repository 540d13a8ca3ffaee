"""Who does a task: one agent, a task force, or a person first; with reasons a person can read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from dryad.foundation.approval_rules import PLAN, Act
from dryad.foundation.policies import Policy
from dryad.foundation.tools import TIERS, Tier
from dryad.orchestration.complexity import Complexity
from dryad.orchestration.plan import Plan

Route = Literal["sequential", "task_force", "escalation"]

UNCLEAR_FROM = 0.5
"""Uncertainty from which a complex request is unclear: a person says first what is meant."""

LEAST_TOKENS = 5_000
"""What an agent with a language model needs at the very least: its instructions and one answer."""


@dataclass(frozen=True)
class Seat:
    """An agent's part: which steps of the plan it works on, and which seats it waits for."""

    member: str
    agent: str
    steps: tuple[str, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The agent chosen for a capability, how far its history is trusted, and who came after it."""

    agent: str
    reliability: float = 0.0
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Situation:
    """What holds when the decision is taken, beside the task itself."""

    policy: Policy
    """The tenant's policy in force."""
    capable: Mapping[str, Choice]
    """Capability → the best agent that has it and is not stopped; absent when there is none."""
    stopped: Mapping[str, str] = field(default_factory=dict[str, str])
    """Tool of the plan that is stopped → why."""
    tokens: int | None = None
    """What is left of the task's budget, shared by its agents; None when no tokens are used."""
    named_agent: str = ""
    """The agent the requester asked for; it works alone."""


@dataclass(frozen=True)
class Decision:
    """Who does the task, why, and what would have changed it."""

    route: Route
    seats: tuple[Seat, ...]
    """Who works once nobody has to be asked (any more); empty when no agent can."""
    score: float
    tier: Tier
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    policy_version: int
    details: dict[str, Any]


def decide(plan: Plan, complexity: Complexity, tier: Tier, at: Situation) -> Decision:
    """Choose who does a task.

    A person is asked first for risk, for what nobody can do, for what is stopped, for a budget too
    small, and for a request both complex and unclear. Else several agents work when the plan has
    branches that need not wait for each other and wording or plan show several steps.

    Args:
        plan: What the task comes down to.
        complexity: Its score and parts.
        tier: Highest risk tier of the plan's tools.
        at: Policy, agents, stops and budget.
    """
    seats = _seats(plan, at)
    parallel, _ = shape(seats)
    gathers = parallel > 1 and complexity.requires_collaboration
    if parallel > 1 and not gathers:
        seats = _one_after_another(seats)
    asks = list(_asks(plan, complexity, tier, at, seats))
    kinds = {kind: why for kind, why, _ in asks}
    route: Route = "escalation" if asks else "task_force" if gathers else "sequential"
    return Decision(
        route=route,
        seats=seats,
        score=complexity.score,
        tier=tier,
        reasons=(*kinds.values(), _division(complexity, at, parallel, gathers=gathers)),
        would_change=(
            *(change for _, _, change in asks),
            *_would_change(complexity, tier, at, parallel, asked=bool(asks)),
        ),
        policy_version=at.policy.version,
        details={
            "asks": kinds,
            "complexity": complexity.to_json(),
            "plan": plan.to_json(),
            "thresholds": {
                "approval_tier": at.policy.approval_tier,
                "task_force_above": at.policy.task_force_above,
                "escalate_above": at.policy.escalate_above,
                "unclear_from": UNCLEAR_FROM,
            },
            "situation": {
                "branches": parallel,
                "capable": {name: asdict(choice) for name, choice in at.capable.items()},
                "stopped": dict(at.stopped),
                "tokens": at.tokens,
            },
        },
    )


def more_dangerous(before: Decision, after: Decision) -> tuple[str, ...]:
    """Return what speaks against a plan that did not speak against the one before it.

    Args:
        before: As a person was asked about it.
        after: With another plan.
    """
    riskier = TIERS.index(after.tier) > TIERS.index(before.tier)
    asked: Mapping[str, str] = before.details["asks"]
    found: Mapping[str, str] = after.details["asks"]
    new = [
        why
        for kind, why in found.items()
        if kind not in {"risk", "unclear"} and asked.get(kind) != why
    ]
    risk = f"the edited plan uses a tool of tier {after.tier}, the one before {before.tier}"
    return (*([risk] if riskier else []), *new)


def shape(seats: Sequence[Seat]) -> tuple[int, int]:
    """Return the most seats that can work at the same time, and how many wait in a row."""
    depth: dict[str, int] = {}
    for seat in seats:
        depth[seat.member] = 1 + max((depth[earlier] for earlier in seat.after), default=-1)
    levels = list(depth.values())
    widest = max((levels.count(level) for level in set(levels)), default=0)
    return widest, 1 + max(levels, default=-1)


def sole_agent(decision: Mapping[str, Any] | None) -> str:
    """Return the one agent that does a task by a recorded decision, or '' when several do."""
    seats: Sequence[Mapping[str, Any]] = decision["seats"] if decision else ()
    return str(seats[0]["agent"]) if len(seats) == 1 else ""


def _asks(
    plan: Plan, complexity: Complexity, tier: Tier, at: Situation, seats: tuple[Seat, ...]
) -> Iterator[tuple[str, str, str]]:
    """Yield for what a person is asked first, why, and what would have spared it."""
    policy = at.policy
    wanted = policy.judge(Act(tier, PLAN))
    if wanted.approvers:  # what no rule allows is refused when it is called
        yield (
            "risk",
            f"the plan uses a tool of tier {tier}; {wanted.why}",
            "without that tool, or with a higher approval tier, nobody would be asked for risk",
        )
    unclear = complexity.of("uncertainty")
    if complexity.score >= policy.escalate_above and unclear.value >= UNCLEAR_FROM:
        yield (
            "unclear",
            f"score {complexity.score} reaches {policy.escalate_above}; unclear: {unclear.reason}",
            "said more plainly, or in smaller pieces, nobody would be asked what is meant",
        )
    missing = set[str]() if at.named_agent else plan.capabilities - set(at.capable)
    if missing:
        yield (
            "ability",
            f"no active agent can do: {', '.join(sorted(missing))}",
            f"an active agent with {' and '.join(sorted(missing))} could do it",
        )
    for tool, why in sorted(at.stopped.items()):
        yield (
            f"stop of {tool}",
            f"tool {tool} is stopped: {why}",
            f"`dryad lift tool:{tool}` would let it be used",
        )
    if at.tokens is not None and len(seats) > 1 and at.tokens // len(seats) < LEAST_TOKENS:
        yield (
            "budget",
            f"{at.tokens:,} tokens for {len(seats)} members are fewer than {LEAST_TOKENS:,} each",
            f"a budget of {LEAST_TOKENS * len(seats):,} tokens would be enough to begin",
        )


def _division(complexity: Complexity, at: Situation, parallel: int, *, gathers: bool) -> str:
    """Say why the work is divided as it is."""
    if at.named_agent:
        return f"the requester named agent {at.named_agent}"
    if gathers:
        return f"the plan has {parallel} branches that need not wait for each other"
    if parallel > 1:
        return (
            f"the plan has {parallel} branches, but neither the wording ({complexity.score}) nor "
            f"the plan ({complexity.plan_evidence}) is above {complexity.threshold}"
        )
    return "the plan is one line of work: more agents would only wait for each other"


def _would_change(
    complexity: Complexity, tier: Tier, at: Situation, parallel: int, *, asked: bool
) -> Iterator[str]:
    policy = at.policy
    if policy.rules is None and TIERS.index(tier) < TIERS.index(policy.approval_tier):
        yield f"a tool of tier {policy.approval_tier} or above would ask a person"
    if asked:
        return
    distance = round(policy.escalate_above - complexity.score, 3)
    unclear = complexity.of("uncertainty").value >= UNCLEAR_FROM
    if distance > 0 and unclear:
        yield f"a score {distance} higher would ask a person what is meant"
    elif distance <= 0:
        yield "a request of this score that leaves open what is meant would ask a person"
    if at.named_agent:
        yield "without a named agent the plan would decide who works"
    elif parallel <= 1:
        yield "an independent second piece of work would make it a task force"
    elif not complexity.requires_collaboration:
        known = max(complexity.score, complexity.plan_evidence)
        yield f"a `task_force_above` below {known} would make it a task force"
    else:
        yield "the same pieces in an order (numbered, or with 'then') would go to one after another"


def _one_after_another(seats: tuple[Seat, ...]) -> tuple[Seat, ...]:
    chained: list[Seat] = []
    for seat in seats:
        chained.append(replace(seat, after=(chained[-1].member,) if chained else ()))
    return tuple(chained)


def _seats(plan: Plan, at: Situation) -> tuple[Seat, ...]:
    if at.named_agent:
        steps = tuple(step.id for step in plan.in_order())
        return (Seat(at.named_agent, at.named_agent, steps),)
    seats: list[Seat] = []
    seat_of: dict[str, str] = {}
    for step in plan.in_order():
        choice = at.capable.get(step.capability)
        if choice is None:
            continue
        waits = tuple(dict.fromkeys(seat_of[e] for e in step.after if e in seat_of))
        last = next((seat for seat in seats if (seat.member,) == waits), None)
        alone = last is not None and not any(last.member in seat.after for seat in seats)
        if last is not None and alone and last.agent == choice.agent:
            seats[seats.index(last)] = replace(last, steps=(*last.steps, step.id))
            seat_of[step.id] = last.member
            continue
        member = f"{choice.agent}-{len(seats) + 1}"
        seats.append(Seat(member, choice.agent, (step.id,), waits))
        seat_of[step.id] = member
    return tuple(seats)
