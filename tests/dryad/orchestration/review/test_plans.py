"""A reviewer may edit the plan that waits; it is read strictly, and shown as it differs."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dryad.foundation.errors import InvalidRequest, Refused
from dryad.orchestration.plan import MOST_STEPS, Plan
from dryad.orchestration.review.plans import (
    EditedPlans,
    edits_in_form,
    filled_in_plan,
    plan_difference,
)
from dryad.orchestration.review.questions import Case
from tests.dryad.orchestration.review.conftest import ACME, BOB, CALL, QUESTION, World
from tests.dryad.orchestration.review.test_cases import spend
from tests.dryad.orchestration.test_model_planner import JSON, STEPS


def step(name: str = "s1", text: str = "Explain leases", **more: Any) -> dict[str, Any]:
    return {
        "id": name, "text": text, "capability": "research", "tools": ["search_memory"], "after": []
    } | more  # fmt: skip


PLAN = [step(), step("s2", "Delete the backups", capability="operate", tools=[], after=["s1"])]
SHORTER = [step()]
ASKED = replace(QUESTION, kind="escalation", call=None, plan=PLAN)


@pytest.fixture
def plans(world: World) -> EditedPlans:
    return EditedPlans(world.agents, world.tools)


def edit(world: World, case: Case, steps: Any, **more: Any) -> Case:
    given = {"reason": "safer", "by": BOB, **more}
    edits = {"steps": steps}
    return world.cases.answer(ACME, case.id, decision="edit", edited_arguments=edits, **given)


def test_an_edited_plan_is_allowed_in_place_of_the_one_asked_about(world: World):
    case = world.cases.settle(ASKED)
    assert "edit" in case.words
    assert case.edited_plan is None
    edited = edit(world, case, [step("look", "Explain stops"), step("then", after=["look"])])
    assert edited.allows
    plan = edited.edited_plan
    assert plan is not None
    assert [(one.id, one.text, one.after) for one in plan.steps] == [
        ("look", "Explain stops", ()), ("then", "Explain leases", ("look",)),
    ]  # fmt: skip
    assert world.cases.settle(ASKED).edited_plan == plan


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([], "no steps"),
        ("Explain leases", "no steps"),
        ([step(str(n)) for n in range(MOST_STEPS + 1)], f"{MOST_STEPS + 1} steps"),
        ([step("a", after=["b"]), step("b", after=["a"])], "waits for itself"),
        ([step(), step()], "same name"),
        ([step(text=" ")], "says nothing"),
        ([step(capability="root")], "nobody has it"),
        ([step(tools=["rm_rf"])], "there is no tool 'rm_rf'"),
        ([step(after=["s9"])], "there is no step 's9'"),
        ([step("a b")], "called by letters and digits"),
        (PLAN, "nothing was changed"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_no_answer(world: World, steps: Any, why: str):
    case = world.cases.settle(ASKED)
    with pytest.raises(InvalidRequest, match=why):
        edit(world, case, steps)
    assert world.cases.get(ACME, case.id).verdict is None
    with pytest.raises(InvalidRequest, match="`steps` and no more"):
        world.cases.answer(
            ACME, case.id, decision="edit", reason="x", by=BOB, edited_arguments={"to": "all"}
        )


def test_a_form_comes_with_the_plan_and_may_change_it(world: World):
    case = world.cases.settle(ASKED)
    assert case.plan == PLAN
    said = f"edit #{case.id}"
    for values, why in (
        ({"decision": f"approve #{case.id}", "plan": SHORTER}, "the decision is not 'edit'"),
        ({"decision": said, "plan": PLAN}, "to edit, give the whole new"),
        ({"decision": said, "plan": [step(capability="root")]}, "nobody has it"),
    ):
        world.fill_in(case.key, **values)
        case = world.cases.settle(ASKED)
        assert case.verdict is None
        assert why in case.brief
    world.fill_in(case.key, decision=said, plan=SHORTER)
    assert world.cases.settle(ASKED).edited_plan == Plan.from_json(SHORTER)


def test_a_form_whose_plan_was_left_alone_approves_it(world: World):
    case = world.cases.settle(ASKED)
    world.fill_in(case.key, decision=f"approve #{case.id}", plan=PLAN)
    case = world.cases.settle(ASKED)
    assert case.allows
    assert case.edited_plan is None


def test_what_misleads_the_eye_is_named_in_the_form_and_is_no_edit():
    steps = [{"id": "s1", "text": "Open safe\u202egnp.exe", "capability": "operate"}]
    shown = filled_in_plan(steps)
    assert shown[0]["text"] == "Open safe⟨U+202E⟩gnp.exe"
    assert edits_in_form({"plan": shown}, steps) is None
    changed = [{**shown[0], "text": "Open nothing"}]
    assert edits_in_form({"plan": changed}, steps) == {"steps": changed}


def test_the_second_person_sees_what_the_first_changed(world: World):
    world.policies.set(ACME, {"rules": [{"need": "two"}]}, author="ann")
    ada, bob = world.enrol("ada"), world.enrol("bob")
    case = world.cases.settle(ASKED)
    case = ada.answer(case, "edit", edited_arguments={"steps": SHORTER})
    assert case.verdict is None
    assert case.plan == SHORTER
    assert "-s2: Delete the backups" in case.brief
    case = bob.answer(case, "approve")
    assert case.edited_plan == Plan.from_json(SHORTER)
    assert case.verdict is not None
    assert case.verdict.by == "ada, bob"


def test_another_plan_allows_no_call_of_the_one_before(world: World):
    drafted = replace(QUESTION, plan=PLAN)
    case = edit(world, world.cases.settle(drafted), SHORTER)
    assert case.edited_plan == Plan.from_json(SHORTER)
    with pytest.raises(Refused, match="does not approve"):
        spend(world, case.id, CALL, "s1")


def test_the_call_of_a_plan_is_edited_as_any_call(world: World):
    case = world.cases.settle(replace(QUESTION, plan=PLAN))
    softer = {"to": "ops", "message": "goodbye"}
    case = world.cases.answer(
        ACME, case.id, decision="edit", reason="softer", by=BOB, edited_arguments=softer
    )
    assert case.edited_plan is None
    spend(world, case.id, {**CALL, "arguments": softer}, "s1")


def test_a_form_changes_one_thing(world: World):
    case = world.cases.settle(replace(QUESTION, plan=PLAN))
    world.fill_in(
        case.key, decision=f"edit #{case.id}", plan=SHORTER, edited_arguments={"to": "all"}
    )
    assert "not both at once" in world.cases.settle(replace(QUESTION, plan=PLAN)).brief


def test_a_difference_names_what_went_and_what_came():
    told = plan_difference(Plan.from_json(PLAN), Plan.from_json([step(text="Explain stops")]))
    assert told.split("\n")[2:] == [
        "@@ -1,4 +1,2 @@", "-s1: Explain leases", "+s1: Explain stops",
        "     research, search_memory", "-s2: Delete the backups",
        "-    operate, no tool, after s1",
    ]  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON | st.lists(JSON | STEPS | st.builds(step, st.sampled_from("abc")), max_size=3))
def test_any_json_is_a_plan_that_can_be_carried_out_or_refused(plans: EditedPlans, steps: Any):
    try:
        plan = plans.read(ACME, {"steps": steps})
    except InvalidRequest:
        return
    assert plan.tools <= {"search_memory"}, "the only one of these that is there"
    assert [one.id for one in plan.steps] == [str(given["id"]) for given in steps]
    assert len(plan.in_order()) == len(steps)
