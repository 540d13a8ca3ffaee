"""A question is asked once, answered once, used once, and closed by silence."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dryad.execution.steps import Approval, Lapsed
from dryad.foundation.database.models import CaseRow
from dryad.foundation.errors import Conflict, InvalidRequest, NotFound, Refused
from tests.dryad.orchestration.review.conftest import ACME, BOB, CALL, GLOBEX, QUESTION, World


def test_each_pass_without_a_verdict_asks_under_a_new_key(world: World):
    first, second = world.cases.settle(QUESTION), world.cases.settle(QUESTION)
    assert first.id == second.id
    assert [first.key, second.key] == [f"q{first.id}-1", f"q{first.id}-2"]
    assert world.events().count("question_opened") == 1


def test_the_answer_in_the_form_becomes_the_verdict_once(world: World):
    case = world.cases.settle(QUESTION)
    world.fill_in(case.key, decision=f"approve #{case.id}", approver="ada")
    settled = world.cases.settle(QUESTION)
    assert settled.verdict is not None
    assert (settled.verdict.decision, settled.verdict.by) == ("approve", "ada (unverified)")
    with pytest.raises(Conflict, match="closed before"):
        world.cases.answer(ACME, case.id, decision="reject", reason="no", by=BOB)
    assert world.events().count("question_closed") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "approve #999999"},
        {"decision": "approve"},
        {"decision": "approve #{id}", "reason": "  "},
        {"decision": "edit #{id}"},
        {"decision": "reply #{id}"},
        {"decision": "approve #{id}", "approver": "dryad-wake"},
        {"decision": "approve #{id}", "edited_arguments": {"to": "else"}},
        {},
    ],
)
def test_an_answer_that_is_none_never_consumes_the_question(world: World, fields: dict[str, Any]):
    case = world.cases.settle(QUESTION)
    filled = {k: v.format(id=case.id) if isinstance(v, str) else v for k, v in fields.items()}
    world.fill_in(case.key, **filled)
    again = world.cases.settle(QUESTION)
    assert again.verdict is None
    assert again.round == 2
    assert "was not accepted" in again.brief
    world.fill_in(again.key, decision=f"reject #{case.id}")
    settled = world.cases.settle(QUESTION)
    assert settled.verdict is not None
    assert settled.verdict.decision == "reject"


def test_silence_counts_as_no_but_an_answer_in_time_counts(world: World):
    case = world.cases.settle(QUESTION)
    other = world.cases.settle(replace(QUESTION, ordinal=2))
    world.fill_in(other.key, decision=f"approve #{other.id}")
    world.now += timedelta(hours=25)
    closed = {c.id: c for c in world.cases.upkeep.expire()}
    assert closed[case.id].status == "expired"
    assert closed[case.id].verdict is not None
    assert closed[case.id].verdict.decision == "reject"
    assert closed[other.id].verdict is not None
    assert closed[other.id].verdict.decision == "approve"
    assert world.cases.upkeep.expire() == []


def test_an_answer_after_the_deadline_is_too_late(world: World):
    case = world.cases.settle(QUESTION)
    world.now += timedelta(hours=25)
    world.fill_in(case.key, decision=f"approve #{case.id}")
    settled = world.cases.settle(QUESTION)
    assert settled.status == "expired"
    with pytest.raises(Conflict):
        world.cases.answer(ACME, case.id, decision="approve", reason="late", by=BOB)


def test_a_form_sent_first_beats_the_command_line(world: World):
    case = world.cases.settle(QUESTION)
    world.fill_in(case.key, decision=f"reject #{case.id}")
    with pytest.raises(Conflict, match="reject by ui:unverified"):
        world.cases.answer(ACME, case.id, decision="approve", reason="yes", by=BOB)


def test_another_tenant_finds_no_case(world: World):
    case = world.cases.settle(QUESTION)
    assert world.cases.open(GLOBEX) == []
    for probe in (
        lambda: world.cases.get(GLOBEX, case.id),
        lambda: world.cases.answer(GLOBEX, case.id, decision="approve", reason="x", by=BOB),
    ):
        with pytest.raises(NotFound):
            probe()
    assert [c.id for c in world.cases.open(ACME)] == [case.id]


def spend(world: World, case: int, call: dict[str, Any], step: str) -> None:
    with world.database.transaction() as session:
        world.cases.spend(session, Approval(case, step, **call, run="run-1"))


def test_an_approval_is_good_for_exactly_one_exact_call(world: World):
    case = world.cases.settle(QUESTION)
    with pytest.raises(Refused):
        spend(world, case.id, CALL, "s1")
    world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    other = {**CALL, "arguments": {"to": "ops", "message": "hullo"}}
    with pytest.raises(Refused, match="does not approve"):
        spend(world, case.id, other, "s1")
    spend(world, case.id, CALL, "s1")
    spend(world, case.id, CALL, "s1")  # the same step, met again after a crash
    with pytest.raises(Refused, match="used before"):
        spend(world, case.id, CALL, "s2")


def test_an_edit_approves_the_edited_call_and_no_other(world: World):
    case = world.cases.settle(QUESTION)
    edited = {"to": "ops", "message": "goodbye"}
    world.cases.answer(
        ACME, case.id, decision="edit", reason="softer", by=BOB, edited_arguments=edited
    )
    with pytest.raises(Refused):
        spend(world, case.id, CALL, "s1")
    spend(world, case.id, {**CALL, "arguments": edited}, "s1")


@pytest.mark.parametrize("decision", ["reject", "reply"])
def test_neither_no_nor_a_reply_allows_anything(world: World, decision: str):
    case = world.cases.settle(QUESTION)
    world.cases.answer(ACME, case.id, decision=decision, reason="no", reply="ask Bob", by=BOB)
    with pytest.raises(Refused):
        spend(world, case.id, CALL, "s1")


def test_a_restored_installation_honours_no_old_approval(world: World):
    case = world.cases.settle(QUESTION)
    world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    with world.database.transaction() as session, pytest.raises(Refused):
        world.of_epoch("epoch-2").spend(session, Approval(case.id, "s1", **CALL, run="run-1"))


def test_a_question_that_is_held_since_a_restore_takes_no_answer(world: World):
    """Neither by API nor in the old form: what it is about may have been done since."""
    case = world.cases.settle(QUESTION)
    with world.database.transaction() as session:
        session.get_one(CaseRow, case.id).status = "held"
    with pytest.raises(Conflict, match="asked before a restore"):
        world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    world.fill_in(case.key, decision=f"approve #{case.id}")
    assert world.cases.settle(QUESTION).verdict is None
    assert world.cases.get(ACME, case.id).verdict is None


def test_changed_arguments_are_another_question(world: World):
    changed = {**CALL, "arguments": {"to": "all"}}
    first = world.cases.settle(QUESTION)
    assert world.cases.settle(replace(QUESTION, call=changed)).id != first.id


def test_what_is_neither_a_call_nor_a_plan_cannot_be_edited(world: World):
    case = world.cases.settle(replace(QUESTION, kind="guidance", call=None))
    assert "edit" not in case.words
    with pytest.raises(InvalidRequest, match="one of approve, reject, reply"):
        world.cases.answer(
            ACME, case.id, decision="edit", reason="x", by=BOB, edited_arguments={"a": 1}
        )


def test_a_run_is_woken_until_it_was_seen_to_go_on(world: World):
    case = world.cases.settle(QUESTION)
    assert world.cases.upkeep.awaiting_wake() == []
    world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    assert [c.id for c in world.cases.upkeep.awaiting_wake()] == [case.id]
    world.cases.settle(QUESTION)
    assert world.cases.upkeep.awaiting_wake() == []


def test_a_call_approved_with_its_plan_is_not_asked_again_until_it_was_made(world: World):
    plan = replace(QUESTION, member="decision-engine", action="the plan")
    approved = world.cases.settle(plan)
    assert world.cases.settle(replace(QUESTION, call={**CALL, "version": "2"})).verdict is None
    world.cases.answer(ACME, approved.id, decision="approve", reason="fine", by=BOB)
    assert world.cases.settle(QUESTION).id == approved.id
    spend(world, approved.id, CALL, "s1")
    again = world.cases.settle(replace(QUESTION, ordinal=2))
    assert again.id != approved.id
    assert again.verdict is None


def test_a_yes_is_asked_for_again_when_it_was_not_used_in_time(world: World):
    case = world.cases.settle(QUESTION)
    world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    world.now += timedelta(hours=24)
    with pytest.raises(Lapsed, match="in time"):
        spend(world, case.id, CALL, "s1")
    again = world.cases.settle(replace(QUESTION, asked=1))
    assert again.id != case.id
    world.cases.answer(ACME, again.id, decision="approve", reason="still", by=BOB)
    spend(world, again.id, CALL, "s1")
    world.now += timedelta(hours=48)
    spend(world, again.id, CALL, "s1")  # it was used in time; this is the same step again


def test_a_yes_under_another_policy_is_asked_for_again(world: World):
    case = world.cases.settle(replace(QUESTION, policy_version=3))
    world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    approval = Approval(case.id, "s1", **CALL, run="run-1", policy_version=4)
    with world.database.transaction() as session, pytest.raises(Lapsed, match="policy 3"):
        world.cases.spend(session, approval)
    assert world.cases.settle(replace(QUESTION, policy_version=4)).id != case.id


def test_an_approval_of_another_run_is_none(world: World):
    case = world.cases.settle(QUESTION)
    world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    with world.database.transaction() as session, pytest.raises(Refused):
        world.cases.spend(session, Approval(case.id, "s1", **CALL, run="run-2"))
