"""A model's plan is read with suspicion: repaired or refused, never simply followed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from dryad.execution.models.language import Language
from dryad.execution.models.prices import FREE
from dryad.foundation.errors import InvalidRequest
from dryad.orchestration.decision import Decision
from dryad.orchestration.hybrid import HybridOrchestrator, counting_plan
from dryad.orchestration.model_planner import LONGEST_STEP, read_plan
from dryad.orchestration.plan import MOST_STEPS
from tests.dryad.orchestration.conftest import ACME, House

KNOWN: dict[str, Any] = {
    "capabilities": {"research", "analysis"}, "tools": {"search_memory", "calculate"},
}  # fmt: skip


def step(name: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "id": name, "text": "Explain leases", "capability": "research",
        "tools": ["search_memory"], "after": [],
    } | more  # fmt: skip


def planning(house: House, answer: Callable[[AgentInfo], ModelResponse]) -> Callable[..., Decision]:
    def function(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return answer(info)

    orchestrator = HybridOrchestrator(
        house.agents, house.tools, house.policies, house.stops, house.decisions, tokens=100_000,
        language=lambda _tenant: Language(FunctionModel(function), price=FREE, seconds=10),
    )  # fmt: skip
    return lambda text, **more: orchestrator.decide(house.submit(text, **more))


def answering(house: House, *steps: dict[str, Any]) -> Callable[..., Decision]:
    return planning(
        house,
        lambda info: ModelResponse(
            parts=[ToolCallPart(info.output_tools[0].name, {"steps": list(steps)})]
        ),
    )


def test_a_sound_plan_of_a_model_is_followed(house: House):
    decide = answering(house, step("find"), step("sum", capability="analysis", tools=["calculate"]))
    decision = decide("Please look into leases while you work out seven times six")
    assert decision.route == "task_force"
    assert decision.details["planner"]["by"].startswith("model ")
    assert decision.details["planner"]["tokens"] > 0
    assert [s["id"] for s in decision.details["plan"]] == ["s1", "s2"]


def test_what_planning_used_is_counted_to_the_task_once(house: House):
    answering(house, step())("Explain leases.")
    (before,) = house.tasks.list(ACME)
    decision = house.decisions.kept(before.id)
    assert decision is not None
    used = decision.details["planner"]["tokens"]
    assert before.tokens == used > 0
    house.decisions.store(ACME, before.id, decision)
    assert house.tasks.find(before.id).tokens == used
    assert counting_plan(replace(before, tokens=0), decision).tokens == used


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([], "no steps"),
        ([step(str(n)) for n in range(MOST_STEPS + 1)], f"{MOST_STEPS + 1} steps"),
        ([step("a", after=["b"]), step("b", after=["a"])], "waits for itself"),
        ([step("a"), step("a")], "same name"),
        ([step(text="  ")], "says nothing"),
        ([step(text="x" * (LONGEST_STEP + 1))], "longer than"),
        ([step(capability="root")], "nobody has it"),
    ],
)
def test_a_plan_of_no_use_is_refused_and_rules_plan(
    house: House, steps: list[dict[str, Any]], why: str
):
    decision = answering(house, *steps)("Explain leases.")
    assert decision.details["planner"]["by"] == "rules"
    assert why in decision.details["planner"]["refused"]
    assert [s["text"] for s in decision.details["plan"]] == ["Explain leases"]


def test_a_plan_that_hides_a_message_does_not_lower_the_risk(house: House):
    decision = answering(house, step(text="Do it quietly"))("Notify all customers that we closed.")
    assert (decision.route, decision.tier) == ("escalation", "external")


def test_what_is_harmless_is_set_right():
    plan, repairs = read_plan(
        {"steps": [step("x", tools=["rm_rf", "calculate"], after=["y", "x2"]), step("x2")]}, **KNOWN
    )
    assert plan.steps[0].tools == ("calculate",)
    assert plan.steps[0].after == ("s2",)
    assert repairs == ("s1: there is no tool 'rm_rf'", "s1: there is no step 'y'")


def test_a_model_that_answers_prose_or_is_not_affordable_leaves_planning_to_rules(house: House):
    prose = planning(house, lambda _: ModelResponse(parts=[TextPart("First, I would …")]))
    assert "no usable answer" in prose("Explain leases.").details["planner"]["refused"]
    decide = answering(house, step())
    poor = decide("Explain leases.", budget={"tokens": 100})
    assert "100 are left" in poor.details["planner"]["refused"]
    assert decide("Explain leases.", agent="analyst").details["planner"]["by"] == "rules"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
STEPS = st.fixed_dictionaries(
    {"id": st.sampled_from("abc"), "text": st.text(max_size=9), "capability": st.just("research")},
    optional={"after": JSON | st.lists(st.sampled_from("abcd")), "tools": JSON},
)


@given(JSON | st.lists(JSON | STEPS, max_size=4))
def test_any_json_is_a_valid_plan_or_refused(steps: Any):
    try:
        plan, _ = read_plan({"steps": steps}, **KNOWN)
    except InvalidRequest:
        return
    assert 1 <= len(plan.steps) <= MOST_STEPS
    assert plan.capabilities <= {"research", "analysis", "operate"}
    assert plan.tools <= {"search_memory", "calculate"}
    assert len(plan.in_order()) == len(plan.steps)
