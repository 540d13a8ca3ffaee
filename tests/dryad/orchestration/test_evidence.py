"""An answer is doubted for what its agent did, and climbs a ladder that is told."""

from decimal import Decimal
from typing import Any

import pytest

from dryad.execution.episodes import Done, Progress, Source, ToolUse, Usage
from dryad.orchestration.decision import Decision, Seat
from dryad.orchestration.evidence import climb, contradicts, doubts, second_seats
from dryad.orchestration.findings import Finding
from tests.dryad.orchestration.conftest import ACME, House

SOURCE = Source(1, "d", "Leases", "s", 0, 9, "A lease lasts thirty seconds and is renewed.")


def program(exit_code: int) -> dict[str, Any]:
    content = {"result": {"exit_code": exit_code, "stdout": ""}}
    part = {"part_kind": "tool-return", "tool_name": "run_python", "content": content}
    return {"kind": "request", "parts": [part]}


def finding(text: str, member: str = "researcher-1", agent: str = "researcher", **more: Any):
    progress = Progress(**({"sources": (SOURCE,)} | more))
    return Finding(Seat(member, agent, ("s1",)), Done("done", text, progress))


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("A lease lasts thirty seconds [1].", ""),
        ("The lease is renewed before its thirty seconds are over [1].", ""),
        ("The documents do not say.", ""),
        ("Elephants migrate in spring [1].", "does not speak of: Elephants"),
        ("A lease lasts thirty seconds [4].", "cites [4], which it was never shown"),
        ("  \n", "it is empty"),
    ],
)
def test_citations_are_looked_up(text: str, doubt: str):
    found = doubts(finding(text))
    assert (doubt in found[0]) if doubt else found == ()


def test_a_figure_in_brackets_is_no_citation_where_nothing_was_searched():
    used = (ToolUse("run_python", "1", "done", 0.1),)
    assert doubts(finding("The list is [3].", sources=(), tools=used)) == ()
    assert doubts(finding("As is known [3].", sources=()))


def test_a_program_that_did_not_run_is_doubted_unless_a_later_one_did():
    assert doubts(finding("5", messages=[program(1)])) == ("its program ended with exit code 1",)
    assert doubts(finding("5", messages=[program(1), program(0)])) == ()


def stopped(why: str, member: str = "researcher-1", **more: Any) -> Finding:
    seat = Seat(member, "researcher", ("s1",))
    return Finding(seat, Done("stopped", "", Progress(**more), reason=why))


def test_what_a_limit_stopped_is_doubted_for_that():
    assert doubts(stopped("the limit of 30 steps")) == ("it was stopped: the limit of 30 steps",)


def test_a_stopped_part_climbs_from_another_agent_to_a_person():
    first, other = stopped("the limit of 5 tokens"), "researcher-1-again"
    (rung,) = climb([first], {other: finding("A lease lasts.", other, "analyst")})
    assert (rung.doubts, rung.outcome) == (("it was stopped: the limit of 5 tokens",), "accepted")
    ladder = climb([first], {other: stopped("the limit of 3 steps", other)})
    assert [(rung.step, rung.doubts[0]) for rung in ladder] == [
        ("another agent", "it was stopped: the limit of 5 tokens"),
        ("a person", "it was stopped: the limit of 3 steps"),
    ]


def test_figures_that_share_nothing_contradict():
    assert contradicts(finding("It lasts 30 s [1]"), finding("It lasts 45 s [1]"))
    assert not contradicts(finding("30 s of 90"), finding("about 30"))
    assert not contradicts(finding("half a minute"), finding("30 s"))


@pytest.fixture
def decision(house: House) -> Decision:
    return house.decide("Explain leases.")


def test_the_next_best_agent_does_it_over_and_never_what_had_an_effect(decision: Decision):
    doubted = finding("Elephants [1].")
    assert second_seats(decision, [doubted]) == [Seat("researcher-1-again", "analyst", ("s1",))]
    sent = finding("Sent [9].", tools=(ToolUse("notify", "1", "done", 0.1),))
    assert second_seats(decision, [sent]) == []
    call = {"part_kind": "tool-call", "tool_name": "notify"}
    begun = stopped("the mail server is down", messages=[{"kind": "response", "parts": [call]}])
    assert second_seats(decision, [begun]) == [], "nobody knows whether it was sent"
    assert second_seats(decision, [stopped("the limit of 5 tokens")]) != []


def test_alone_an_agent_does_it_over_itself(house: House):
    house.agents.set_status(ACME, "analyst", "inactive")
    decision = house.decide("Explain leases.")
    assert second_seats(decision, [finding("x [9]")])[0].agent == "researcher"


def test_a_better_answer_is_taken_and_the_ladder_says_so():
    first = finding("Elephants migrate [1].", usage=Usage(tokens=70, cost_usd=Decimal("0.1")))
    other = finding("A lease lasts thirty seconds [1].", "researcher-1-again", "analyst")
    (rung,) = climb([first], {"researcher-1-again": other})
    assert (rung.step, rung.by, rung.outcome) == ("another agent", "analyst", "accepted")
    assert (rung.tokens, rung.cost_usd) == (70, 0.1)
    assert rung.to_json()["member"] == "researcher-1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Elephants migrate [1].", "does not speak of"),
        ("A lease is renewed every 45 seconds [1].", "figures that have nothing in common"),
    ],
)
def test_what_stays_in_doubt_goes_to_a_person(text: str, why: str):
    first = finding("Elephants live 60 years [1].")
    ladder = climb([first], {"researcher-1-again": finding(text, "researcher-1-again", "analyst")})
    assert [rung.step for rung in ladder] == ["another agent", "a person"]
    assert why in ladder[0].outcome
    assert why in ladder[1].doubts[0]


OPINION = {"researcher-1": ("it leaves out who renews it",)}


def test_what_a_critic_alone_objects_to_is_done_over_and_the_better_answer_taken():
    first, again = finding("A lease lasts thirty seconds [1]."), "researcher-1-again"
    better = finding("A lease lasts thirty seconds and is renewed [1].", again, "analyst")
    (rung,) = climb([first], {again: better}, OPINION)
    assert (rung.doubts, rung.outcome) == (OPINION["researcher-1"], "accepted")
    (rung,) = climb([first], {again: finding("Elephants migrate [1].", again)}, OPINION)
    assert "does not speak of" in rung.outcome, "the first stands, and nobody is asked"
    assert climb([first], {}, OPINION) == []


def test_two_sound_answers_that_contradict_go_to_a_person_whoever_began():
    first, again = finding("A lease lasts 30 seconds [1]."), "researcher-1-again"
    other = finding("A lease lasts 45 seconds [1].", again, "analyst")
    assert [rung.step for rung in climb([first], {again: other}, OPINION)] == [
        "another agent", "a person",
    ]  # fmt: skip


def test_a_critic_takes_no_doubt_away():
    first, again = finding("Elephants migrate [1]."), "researcher-1-again"
    ladder = climb([first], {again: finding("Whales migrate [1].", again)}, OPINION)
    assert [rung.step for rung in ladder] == ["another agent", "a person"]
    assert ladder[0].doubts[1:] == OPINION["researcher-1"]


def test_a_second_agent_that_was_stopped_helps_nobody():
    other = stopped("the limit of 5 tokens", "researcher-1-again")
    ladder = climb([finding("x [9]")], {"researcher-1-again": other})
    assert [rung.step for rung in ladder] == ["another agent", "a person"]
    assert "the limit of 5 tokens" in ladder[-1].doubts[0]
    assert [rung.step for rung in climb([finding("x [9]")], {})] == ["a person"]
