"""A plan that a person edited is weighed anew, kept beside the one before, and asked if worse."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dryad.foundation.ids import RunId
from dryad.orchestration.decision import Decision
from dryad.orchestration.explanation import explain
from dryad.orchestration.hybrid import plan_question
from dryad.orchestration.review.questions import Case
from dryad.orchestration.review.verdicts import Verdict
from dryad.orchestration.tasks import Task
from tests.dryad.orchestration.conftest import ACME, House

NOW = datetime(2026, 5, 1, tzinfo=UTC)
RISKY = "Explain leases. Then delete the old backups."


def step(name: str, capability: str = "research", *tools: str, after: Any = ()) -> dict[str, Any]:
    return {
        "id": name, "text": f"Do {name}", "capability": capability, "tools": list(tools),
        "after": list(after),
    }  # fmt: skip


READS = step("look", "research", "search_memory")
SENDS = step("tell", "communicate", "notify", after=["look"])


class Desk:
    """A task that waits for a person, who edits its plan again and again."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.task = house.submit(RISKY)
        self.decision = house.orchestrator().decide(self.task)
        self.case = 0

    def edit(self, *steps: dict[str, Any]) -> Decision:
        self.case += 1
        self.decision = self.house.orchestrator().revise(
            self.task, self.decision, allowed(self.task, self.case, list(steps))
        )
        return self.decision


def allowed(task: Task, number: int, steps: list[dict[str, Any]]) -> Case:
    verdict = Verdict("edit", "safer", "ann", "api", NOW.isoformat(), "", {"steps": steps})
    return Case(
        id=number, tenant=ACME, task=task.id, run=RunId("r"), kind="escalation", tier="read",
        status="resolved", round=1, brief="", words=("edit",), proof="none", needs={}, votes=(),
        title="", requester="key:k", talk=(), created=NOW, due=NOW, verdict=verdict, plan=steps,
    )  # fmt: skip


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


def test_a_safer_plan_is_carried_out_without_another_question(desk: Desk):
    assert desk.decision.reasons[0] == "no active agent can do: operate"
    revised = desk.edit(READS)
    assert revised.details["revision"]["asks"] == []
    assert "-s2: Then delete the old backups" in revised.details["revision"]["difference"]
    assert [seat.steps for seat in revised.seats] == [("look",)]
    assert (revised.route, revised.tier) == ("escalation", "read")


def test_a_more_dangerous_plan_is_asked_about_with_what_changed(desk: Desk):
    revised = desk.edit(READS, SENDS)
    assert revised.details["revision"]["asks"] == [
        "the edited plan uses a tool of tier external, the one before read"
    ]
    asked = plan_question(desk.task, RunId("r"), revised)
    assert (asked.tier, asked.ordinal, asked.plan) == ("external", 2, revised.details["plan"])
    assert "+tell: Do tell" in asked.action
    safer = desk.edit(READS)
    assert safer.details["revision"]["asks"] == [], "less than what was allowed just now"
    assert safer.details["revision"]["number"] == 2


def test_what_nobody_can_do_or_a_stop_forbids_is_asked_about_as_well(desk: Desk):
    desk.edit(READS)
    desk.house.stops.set(ACME, "tool:calculate", reason="it is wrong", by="ann")
    revised = desk.edit(READS, step("sum", "analysis", "calculate"), step("do", "operate"))
    assert revised.details["revision"]["asks"] == [
        "no active agent can do: operate", "tool calculate is stopped: it is wrong",
    ]  # fmt: skip


def test_the_same_edit_is_kept_once_and_the_plans_before_stay(desk: Desk):
    first = desk.decision
    revised = desk.edit(READS)
    again = desk.house.orchestrator().revise(
        desk.task, first, allowed(desk.task, 1, [READS, SENDS])
    )
    assert again == replace(revised, details=again.details)
    assert again.details["plan"] == revised.details["plan"]
    assert desk.house.decisions.kept(desk.task.id) == again
    found = desk.house.decisions.get(ACME, desk.task.id)
    (before,) = found["earlier"]
    assert (before["plan"], before["tier"]) == (first.details["plan"], first.tier)
    events = [event["event"] for event in desk.house.audit.export(ACME)]
    assert (events.count("decided"), events.count("decision_revised")) == (1, 1)
    assert "What ann changed in the plan (question 1)\n--- asked\n+++ edited" in explain(found)


def test_an_edited_plan_may_lower_the_risk_that_the_words_had(house: House):
    task = house.submit("Notify the operators that the window begins at 18:00.")
    decision = house.orchestrator().decide(task)
    assert decision.tier == "external"
    revised = house.orchestrator().revise(task, decision, allowed(task, 1, [READS]))
    assert (revised.tier, revised.details["drafted"]) == ("read", None)
