"""A plan says what a text comes down to, never more, and never waits for itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.foundation.errors import InvalidRequest
from dryad.orchestration.offline_planner import offline_plan
from dryad.orchestration.plan import MOST_STEPS, Plan, PlanStep


@pytest.mark.parametrize(
    ("text", "kinds", "branches"),
    [
        ("What happens when a flow run is suspended?", ["research"], 1),
        (
            (
                "Find what the documentation says about leases, and calculate the average of 12, 15"
                " and 21."
            ),
            ["research", "analysis"],
            2,
        ),
        ("Summarise the backup policy and then notify ops@x.org", ["research", "communicate"], 1),
        ("1. Find the rule\n2. compute 7*4\n3. send the result", None, 1),
        ("- explain leases\n- explain stops\n- explain keys", ["research"] * 3, 3),
        ("Explain how the journal works and why it matters", ["research"], 1),
        ("Compare SQLite and PostgreSQL and Redis", ["research"], 1),
        ("שלום עולם", ["research"], 1),
    ],
)
def test_a_text_comes_down_to_its_pieces_of_work(text: str, kinds: list[str] | None, branches: int):
    plan = offline_plan(text)
    assert len(plan.branches()) == branches
    if kinds is not None:
        assert [step.capability for step in plan.steps] == kinds


def test_what_refers_back_waits_for_what_came_before():
    plan = offline_plan("Find the retention rule; calculate 7*4; then send the result to the team")
    assert [step.after for step in plan.steps] == [(), (), ("s2",)]


def test_a_message_waits_for_everything_it_may_report():
    plan = offline_plan("Explain leases; explain stops; notify the team that both are read")
    assert plan.steps[-1].capability == "communicate"
    assert len(plan.branches()) <= 2


@given(st.text(min_size=1, max_size=2_000))
def test_any_text_becomes_a_valid_plan(text: str):
    plan = offline_plan(text)
    assert 1 <= len(plan.steps) <= MOST_STEPS
    assert Plan.from_json(plan.to_json()) == plan
    assert sum(len(branch) for branch in plan.branches()) == len(plan.steps)


@given(
    st.lists(st.sampled_from(["find a", "compute 1+1", "notify b", "then save c"]), max_size=60),
    st.integers(1, 12),
)
def test_many_pieces_stay_within_the_limit_and_none_is_lost(pieces: list[str], most: int):
    text = "; ".join(pieces) or "x"
    whole, short = offline_plan(text), offline_plan(text, most_steps=most)
    assert len(short.steps) <= most
    told = " ".join(step.text for step in short.steps)
    assert all(told.count(s.text) >= 1 for s in whole.steps)


def test_a_plan_that_waits_for_itself_or_for_nothing_is_refused():
    def step(step_id: str, *after: str) -> PlanStep:
        return PlanStep(step_id, "x", "research", (), after)

    for steps in ((), (step("a", "b"), step("b", "a")), (step("a", "z"),), (step("a"), step("a"))):
        with pytest.raises(InvalidRequest):
            Plan(steps)
