"""Whatever the plan, a decision seats each step once, in an order that can be kept."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dryad.foundation.policies import BUILT_IN
from dryad.foundation.tools import TIERS, Tier
from dryad.orchestration.complexity import score
from dryad.orchestration.decision import (
    Choice,
    Decision,
    Seat,
    Situation,
    decide,
    more_dangerous,
    shape,
)
from dryad.orchestration.plan import Plan, PlanStep

CAPABILITIES = ("research", "analysis", "write", "operate")
AGENTS = ("ada", "bob", "eve")


@st.composite
def plans(draw: Any) -> Plan:
    """Plans of up to eight steps in any order, each waiting for some of those before it."""
    names = [f"s{number}" for number in range(1, draw(st.integers(1, 8)) + 1)]
    steps = [
        PlanStep(
            name,
            f"do {name}",
            draw(st.sampled_from(CAPABILITIES)),
            (),
            tuple(sorted(draw(st.sets(st.sampled_from(names[:place]))) if place else ())),
        )
        for place, name in enumerate(names)
    ]
    return Plan(tuple(draw(st.permutations(steps))))


@st.composite
def decisions(draw: Any) -> tuple[Plan, Tier, Situation, Decision]:
    """A plan of any kind in any situation, and what was decided."""
    plan, tier = draw(plans()), draw(st.sampled_from(TIERS))
    capable = draw(
        st.dictionaries(st.sampled_from(CAPABILITIES), st.builds(Choice, st.sampled_from(AGENTS)))
    )
    policy = BUILT_IN.model_copy(
        update={
            "approval_tier": draw(st.sampled_from(TIERS)),
            "task_force_above": draw(st.floats(0, 1)),
            "escalate_above": draw(st.floats(0, 1)),
        }
    )
    at = Situation(
        policy=policy,
        capable=capable,
        tokens=draw(st.none() | st.integers(0, 20_000)),
        named_agent=draw(st.sampled_from(("", "", "ada"))),
    )
    scored = score("Explain it, maybe.", plan, tier, threshold=policy.task_force_above)
    return plan, tier, at, decide(plan, scored, tier, at)


@given(decisions())
def test_each_step_that_somebody_can_do_has_one_seat(
    taken: tuple[Plan, Tier, Situation, Decision],
):
    plan, _, at, decision = taken
    seated = [step for seat in decision.seats for step in seat.steps]
    assert len(seated) == len(set(seated))
    wanted = {s.id for s in plan.steps if at.named_agent or s.capability in at.capable}
    assert set(seated) == wanted


@given(decisions())
def test_who_needs_an_outcome_waits_for_it_and_nobody_waits_for_ever(
    taken: tuple[Plan, Tier, Situation, Decision],
):
    plan, _, _, decision = taken
    place = {step: seat for seat in decision.seats for step in seat.steps}
    waits = {seat.member: _waits_for(seat, decision.seats) for seat in decision.seats}
    for step in plan.steps:
        for earlier in step.after:
            if step.id in place and earlier in place:
                mine, its = place[step.id], place[earlier]
                assert its.member in waits[mine.member] or mine.steps.index(
                    step.id
                ) > mine.steps.index(earlier)
    assert all(member not in awaited for member, awaited in waits.items())


def _waits_for(seat: Seat, seats: tuple[Seat, ...]) -> set[str]:
    """Return whom a seat waits for, over any number of others."""
    by_name, found, left = {s.member: s for s in seats}, set[str](), list(seat.after)
    while left:
        member = left.pop()
        if member not in found:
            found.add(member)
            left += by_name[member].after
    return found


@given(decisions())
def test_risk_alone_asks_a_person_and_a_force_is_side_by_side(
    taken: tuple[Plan, Tier, Situation, Decision],
):
    _, tier, at, decision = taken
    risky = TIERS.index(tier) >= TIERS.index(at.policy.approval_tier)
    assert ("risk" in decision.details["asks"]) == risky
    assert (decision.route == "escalation") == bool(decision.details["asks"])
    if decision.route == "task_force":
        assert shape(decision.seats)[0] > 1
    if decision.route == "sequential":
        assert shape(decision.seats)[0] <= 1
    assert decision.reasons
    assert all(decision.reasons)
    assert more_dangerous(decision, decision) == ()


@given(decisions(), st.data())
def test_the_same_is_decided_the_same(
    taken: tuple[Plan, Tier, Situation, Decision], data: st.DataObject
):
    plan, tier, at, decision = taken
    shuffled = Situation(
        policy=at.policy,
        capable=dict(data.draw(st.permutations(list(at.capable.items())))),
        tokens=at.tokens,
        named_agent=at.named_agent,
    )
    scored = score("Explain it, maybe.", plan, tier, threshold=at.policy.task_force_above)
    assert decide(plan, scored, tier, shuffled) == decision
