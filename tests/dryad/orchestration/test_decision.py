"""A decision gives its reasons, follows what really is, and is kept once."""

from dataclasses import replace

import pytest
from sqlalchemy import text as sql

from dryad.execution.agents import AgentSpec
from dryad.foundation.database import Database
from dryad.foundation.errors import Refused
from dryad.orchestration.decision import LEAST_TOKENS
from dryad.orchestration.explanation import explain
from tests.dryad.orchestration.conftest import ACME, House

TWO = "Explain how leases work; calculate the mean of 12, 15 and 18."
LETTER = "Notify the operators that the window begins at 18:00."


def specialist(name: str, **capabilities: float) -> AgentSpec:
    return AgentSpec(name, name, "specialist", "", "", capabilities)


def test_risk_alone_sends_a_trivial_task_to_a_person(house: House):
    decision = house.decide(LETTER)
    assert (decision.route, decision.tier) == ("escalation", "external")
    assert decision.score < 0.1
    assert "policy asks from external upward" in decision.reasons[0]
    assert "higher approval tier" in decision.would_change[0]


def test_the_policy_in_force_decides_and_is_named(house: House):
    house.policies.set(ACME, {"approval_tier": "authority"}, author="ann")
    decision = house.decide(LETTER)
    assert (decision.route, decision.policy_version) == ("sequential", 1)


def test_a_threshold_above_what_is_known_makes_branches_wait(house: House):
    assert house.decide(TWO).route == "task_force"
    house.policies.set(ACME, {"task_force_above": 0.95, "escalate_above": 0.97}, author="ann")
    decision = house.decide(TWO)
    assert decision.route == "sequential"
    assert [seat.after for seat in decision.seats] == [(), (decision.seats[0].member,)]
    assert "neither the wording" in decision.reasons[0]
    assert any("task_force_above" in change for change in decision.would_change)


def test_good_and_bad_agents_make_visible_differences(house: House):
    house.agents.register(ACME, specialist("novice", research=0.9))
    house.agents.register(ACME, specialist("proven", research=0.9))
    for _ in range(20):
        house.agents.finished(ACME, "proven", success=True, tokens=1)
        house.agents.finished(ACME, "researcher", success=False, tokens=1)
    chosen = house.decide("Explain leases.")
    assert [seat.agent for seat in chosen.seats] == ["proven"]
    choice = chosen.details["situation"]["capable"]["research"]
    assert choice["others"] == ["novice", "analyst", "researcher"]
    assert choice["reliability"] > 0.8
    for agent in ("researcher", "analyst", "novice", "proven"):
        house.agents.set_status(ACME, agent, "maintenance")
    alone = house.decide("Explain leases.")
    assert (alone.route, alone.seats) == ("escalation", ())
    assert alone.reasons[0] == "no active agent can do: research"


def test_a_stopped_agent_is_passed_over_and_a_stopped_tool_goes_to_a_person(house: House):
    house.stops.set(ACME, "agent:researcher", reason="it lies", by="ann")
    assert [seat.agent for seat in house.decide("Explain leases.").seats] == ["analyst"]
    house.stops.set(ACME, "tool:search_memory", reason="the index is wrong", by="ann")
    decision = house.decide("Explain stops.")
    assert decision.route == "escalation"
    assert decision.reasons[0] == "tool search_memory is stopped: the index is wrong"
    assert decision.would_change[0] == "`dryad lift tool:search_memory` would let it be used"


def test_a_stopped_tenant_gets_no_decision(house: House):
    house.stops.set(ACME, f"tenant:{ACME}", reason="unpaid", by="ann")
    with pytest.raises(Refused, match="unpaid"):
        house.decide("Explain leases.")


def test_a_budget_too_small_for_all_members_goes_to_a_person(house: House):
    small = house.submit(TWO, budget={"tokens": 2 * LEAST_TOKENS - 1})
    decision = house.orchestrator(tokens=200_000).decide(small)
    assert decision.route == "escalation"
    assert "9,999 tokens for 2 members" in decision.reasons[0]
    enough = house.submit(TWO, budget={"tokens": 2 * LEAST_TOKENS})
    assert house.orchestrator(tokens=200_000).decide(enough).route == "task_force"
    assert house.orchestrator(tokens=None).consider(small).route == "task_force"


def test_what_is_complex_and_unclear_goes_to_a_person_and_what_is_only_complex_does_not(
    house: House,
):
    clear = (
        "First read the threat model, then list its attacks, after that group them by part, and "
        "finally write three sentences about each group."
    )
    assert house.decide(clear).score > 0.9
    assert house.decide(clear).route == "sequential"
    vague = f"{clear} Maybe something like that, or whatever, not sure."
    decision = house.decide(vague)
    assert (decision.route, "unclear" in decision.reasons[0]) == ("escalation", True)


def test_a_named_agent_works_alone_in_the_order_of_the_plan(house: House):
    decision = house.decide(TWO, agent="analyst")
    assert decision.route == "sequential"
    assert [(seat.agent, seat.steps) for seat in decision.seats] == [("analyst", ("s1", "s2"))]


def test_a_decision_is_taken_once_whatever_changed_since(house: House):
    task = house.submit(LETTER)
    first = house.orchestrator().decide(task)
    house.policies.set(ACME, {"approval_tier": "authority"}, author="ann")
    assert house.orchestrator().decide(task) == first
    assert house.orchestrator().consider(task).route == "sequential"
    assert [event["event"] for event in house.audit.export(ACME)].count("decided") == 1


def test_a_decision_that_cannot_be_kept_fails(house: House):
    task = house.submit(LETTER)
    with house.database.transaction() as session:
        session.execute(sql("DROP TABLE decisions"))
    with pytest.raises(Exception, match="decisions"):
        house.orchestrator().decide(task)


def test_statistics_count_routes_overrides_and_regret(house: House):
    for text, end in ((TWO, "done"), (LETTER, "rejected"), ("Explain leases.", "failed")):
        task = house.submit(text)
        house.orchestrator().decide(task)
        house.tasks.set_status(task.id, "running")
        house.tasks.finish(task.id, end)
    found = house.decisions.statistics(ACME)
    assert found["by_route"] == {"task_force": 1, "escalation": 1, "sequential": 1}
    assert (found["known"], found["regretted"], found["regret_rate"]) == (3, 1, 0.333)
    assert (found["answered"], found["override_rate"]) == (0, None)


def test_an_explanation_is_text_with_everything_that_was_weighed(house: House):
    task = house.submit(TWO)
    house.orchestrator().decide(task)
    told = explain(house.decisions.get(ACME, task.id))
    for line in (
        "A task force, side by side (task_force)",
        "  - the plan has 2 branches that need not wait for each other",
        "What would have changed it",
        "  - riskiest tool: tier read; a person from tier external",
        "  - s2: calculate the mean of 12, 15 and 18\n      analyst-2, run_python, calculate",
        "  - research: researcher (reliability 0.34); then analyst",
    ):
        assert line in told
    assert "{" not in told


def test_an_older_decision_is_still_explained(house: House, database: Database):
    task = house.submit(TWO)
    house.orchestrator().decide(task)
    found = house.decisions.get(ACME, task.id)
    found.pop("situation")
    found["complexity"].pop("plan_evidence")
    assert "Why" in explain(found)
    assert replace(house.orchestrator().consider(task), details={}).route == "task_force"
