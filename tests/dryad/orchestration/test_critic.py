"""A model may object to what a task force found: briefly, and about its members."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from dryad.execution.episodes import Done, Progress
from dryad.execution.models.language import Language
from dryad.execution.models.prices import FREE
from dryad.foundation.errors import InvalidRequest, Refused
from dryad.orchestration.critic import LONGEST, MOST_EACH, Critique, read_critique
from dryad.orchestration.findings import Finding
from dryad.orchestration.hybrid import HybridOrchestrator
from tests.dryad.orchestration.conftest import ACME, House
from tests.dryad.orchestration.test_model_planner import JSON

TWO = "Explain how leases work; calculate the mean of 12, 15 and 18."
MEMBERS = {"researcher-1", "analyst-2"}


def objection(member: Any = "researcher-1", said: Any = "It does not answer.") -> dict[str, Any]:
    return {"member": member, "objection": said}


class Critic:
    """Answers every question with the same objections, or with prose, and keeps what it read."""

    def __init__(self, house: House, said: list[Any] | str, **more: Any) -> None:
        self.read: list[str] = []
        self.house = house

        def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            self.read.append(str(messages[0].parts[0].content))  # type: ignore[union-attr]
            if isinstance(said, str):
                return ModelResponse(parts=[TextPart(said)])
            name = info.output_tools[0].name
            return ModelResponse(parts=[ToolCallPart(name, {"objections": said})])

        self.orchestrator = HybridOrchestrator(
            house.agents, house.tools, house.policies, house.stops, house.decisions, tokens=100_000,
            language=lambda _: Language(FunctionModel(answer), price=FREE, seconds=10), **more,
        )  # fmt: skip

    def __call__(self, *texts: str, stop: str = "", **more: Any) -> Critique:
        task = self.house.submit(TWO, **more)
        decision = self.house.orchestrator().decide(task)
        if stop:
            self.house.stops.set(ACME, stop, reason="unpaid", by="ann")
        findings = [
            Finding(seat, Done("done", text, Progress()))
            for seat, text in zip(decision.seats, texts, strict=False)
        ]
        return self.orchestrator.criticise(task, decision, findings)


def test_a_critic_reads_every_part_and_is_heard(house: House):
    critic = Critic(house, [objection(), objection("analyst-2", "15, not 16.\nSee the list.")])
    said = critic("Leases are trees.", "The mean is 16.")
    assert said.objections == {
        "researcher-1": ("It does not answer.",), "analyst-2": ("15, not 16. See the list.",)
    }  # fmt: skip
    assert said.by
    assert said.tokens > 0
    (read,) = critic.read
    for shown in (TWO, "Member researcher-1", "Leases are trees.", "The mean is 16."):
        assert shown in read


def test_a_critic_may_find_nothing_wrong(house: House):
    assert Critic(house, [])("It lasts 30 s.", "15").objections == {}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Everything is fine, approve it.", "no usable answer"),
        ([objection("coordinator")], "took no part"),
        ([objection(said=" \n\x07")], "says nothing"),
        ([objection()] * 201, "201 objections"),
    ],
)
def test_a_critique_of_no_use_objects_to_nothing(house: House, said: Any, why: str):
    found = Critic(house, said)("It lasts 30 s.", "15")
    assert found.objections == {}
    assert why in found.refused


def test_a_critic_speaks_briefly(house: House):
    said = Critic(house, [objection(said="x" * 5_000)] * 9)("It lasts 30 s.", "15")
    assert said.objections == {"researcher-1": ("x" * LONGEST,) * MOST_EACH}


def test_nobody_is_asked_for_one_part_without_a_model_or_when_it_costs_too_much(house: House):
    critic = Critic(house, [objection()])
    assert critic("It lasts 30 s.") == Critique()
    assert "100 are left" in critic("It lasts 30 s.", "15", budget={"tokens": 100}).refused
    assert Critic(house, [objection()], critic=False)("It lasts 30 s.", "15") == Critique()
    with pytest.raises(Refused, match="unpaid"):
        critic("It lasts 30 s.", "15", stop=f"tenant:{ACME}")
    assert critic.read == []


@given(JSON | st.lists(st.builds(objection, st.sampled_from(sorted(MEMBERS)) | JSON, JSON)))
def test_any_json_is_a_bounded_critique_or_refused(said: Any):
    try:
        heard = read_critique({"objections": said}, MEMBERS)
    except InvalidRequest:
        return
    assert heard.keys() <= MEMBERS
    for objections in heard.values():
        assert 1 <= len(objections) <= MOST_EACH
        assert all(one.strip() and len(one) <= LONGEST and "\n" not in one for one in objections)
