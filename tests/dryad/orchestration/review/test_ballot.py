"""Who may say what about a case, and when it is enough: roles, tenants, two people, no forgery."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dryad.foundation.approval_rules import UNVERIFIED
from dryad.foundation.database.models import CaseRow
from dryad.foundation.errors import Refused
from dryad.orchestration.review.approvals import Approvals
from dryad.orchestration.review.reviewers import Claim
from tests.dryad.orchestration.review.conftest import ACME, BOB, CALL, QUESTION, SECRET, World
from tests.dryad.orchestration.review.test_cases import spend


def settle(world: World, **more: Any) -> Any:
    return world.cases.settle(replace(QUESTION, **more))


# -- who may


def test_who_asked_never_approves(world: World):
    device = world.enrol("ada", keys=["k"])
    case = settle(world)
    with pytest.raises(Refused, match="who asked for it cannot approve"):
        device.answer(case, "approve")
    other = world.enrol("bob")
    with pytest.raises(Refused, match="who asked for it cannot approve"):
        other.answer(case, "approve", by=other.claim(actor="key:k"))
    assert device.answer(case, "reject").verdict is not None  # taking it back is theirs


def test_a_reviewer_answers_for_their_tenants_and_roles(world: World):
    world.policies.set(ACME, {"rules": [{"need": "one", "role": "treasurer"}]}, author="ann")
    case = settle(world)
    stranger = world.enrol("eve", tenants=["globex"], roles=["treasurer"])
    with pytest.raises(Refused, match="does not answer for tenant acme"):
        stranger.answer(case, "approve")
    with pytest.raises(Refused, match="the role treasurer"):
        world.enrol("bob").answer(case, "approve")
    assert world.enrol("ada", tenants=["acme"], roles=["treasurer"]).answer(case, "approve").allows


def test_a_suspended_reviewer_and_a_stranger_are_nobody(world: World):
    device, case = world.enrol("ada"), settle(world)
    world.reviewers.set_status("ada", "suspended", by="test")
    with pytest.raises(Refused, match="is no reviewer"):
        device.answer(case, "approve")
    world.reviewers.set_status("ada", "active", by="test")
    with pytest.raises(Refused, match="is no reviewer"):
        world.cases.answer(ACME, case.id, decision="approve", reason="x", by=Claim("eve", "1"))
    assert device.answer(case, "approve").allows


# -- two different people


def test_two_approvers_are_two_people(world: World):
    world.policies.set(ACME, {"rules": [{"need": "two"}]}, author="ann")
    ada, bob, case = world.enrol("ada"), world.enrol("bob"), settle(world)
    assert "two different reviewers" in case.brief
    first = ada.answer(case, "approve")
    assert (first.verdict, first.status) == (None, "in_progress")
    with pytest.raises(Refused, match="somebody else has to"):
        ada.answer(case, "approve")
    shown = world.cases.settle(QUESTION)
    assert "**ada** said *approve*: ada says so" in shown.brief
    world.fill_in(
        shown.key, decision=f"approve #{case.id}", approver="bob", code=bob.codes(case)["approve"]
    )
    verdict = world.cases.settle(QUESTION).verdict
    assert verdict is not None
    assert verdict.by == "ada, bob"
    assert "ada: ada says so" in verdict.reason
    assert world.events().count("question_closed") == 1


def test_one_no_is_enough_whoever_said_yes_before(world: World):
    world.policies.set(ACME, {"rules": [{"need": "two"}]}, author="ann")
    ada, bob, case = world.enrol("ada"), world.enrol("bob"), settle(world)
    ada.answer(case, "approve")
    verdict = bob.answer(case, "reject").verdict
    assert verdict is not None
    assert (verdict.decision, verdict.by) == ("reject", "bob")


def test_the_second_person_decides_on_the_arguments_as_the_first_edited_them(world: World):
    world.policies.set(ACME, {"rules": [{"need": "two"}]}, author="ann")
    ada, bob, case = world.enrol("ada"), world.enrol("bob"), settle(world)
    stale = bob.codes(case)["approve"]
    edited = {"to": "ops", "message": "good-bye"}
    assert ada.answer(case, "edit", edited_arguments=edited).verdict is None
    shown = world.cases.settle(QUESTION)
    assert '-   "message": "hello"' in shown.brief.replace("-  ", "-   ")
    assert '"message": "good-bye"' in shown.brief
    world.fill_in(shown.key, decision=f"approve #{case.id}", approver="bob", code=stale)
    shown = world.cases.settle(QUESTION)
    assert shown.verdict is None  # it was the code of the arguments before
    verdict = bob.answer(case, "approve").verdict
    assert verdict is not None
    assert (verdict.decision, verdict.edited_arguments) == ("edit", edited)
    assert verdict.by == "ada, bob"


def test_a_yes_to_other_arguments_does_not_count_for_the_edited_ones(world: World):
    world.policies.set(ACME, {"rules": [{"need": "two"}]}, author="ann")
    ada, bob, case = world.enrol("ada"), world.enrol("bob"), settle(world)
    ada.answer(case, "approve")
    edited = {"to": "all", "message": "hello"}
    assert bob.answer(case, "edit", edited_arguments=edited).verdict is None
    assert ada.answer(case, "approve").allows  # now ada has agreed to what bob made of it


def test_when_nobody_knows_who_asked_two_people_agree(world: World):
    case = settle(world, requester=UNVERIFIED)
    assert case.needs["approvers"] == 2
    ada, bob = world.enrol("ada"), world.enrol("bob")
    assert ada.answer(case, "approve").verdict is None
    assert bob.answer(case, "approve").allows


def test_in_single_user_mode_one_yes_does_for_a_task_from_a_form(world: World):
    case = settle(world, requester=UNVERIFIED)
    closed = world.cases.answer(ACME, case.id, decision="approve", reason="mine", by=BOB)
    assert closed.allows


def test_what_the_policy_forbids_cannot_even_be_asked(world: World):
    world.policies.set(ACME, {"rules": [{"tools": ["look"], "need": "one"}]}, author="ann")
    with pytest.raises(Refused, match="no rule of the policy"):
        settle(world)


# -- forged


def test_a_forged_verdict_or_seal_lets_nothing_happen(world: World):
    case = settle(world)
    forge(world, case.id, seal=None)
    for seal in (None, "0" * 64, *map(guessed_seal(world, case.id), GUESSES)):
        forge(world, case.id, seal=seal)
        with pytest.raises(Refused, match="does not approve"):
            spend(world, case.id, CALL, "s1")
    forge(world, case.id, seal=guessed_seal(world, case.id)(SECRET))
    spend(world, case.id, CALL, "s1")  # a seal is all it takes: without the secret none is made


GUESSES = (b"", b"guessed", b"k" * 32)


def forge(world: World, case: int, *, seal: str | None) -> None:
    """Write into the row as somebody would who got hold of the database."""
    verdict = {"decision": "approve", "reason": "x", "by": "ada", "via": "ui", "at": "2026-05-01"}
    with world.database.transaction() as session:
        row = session.get_one(CaseRow, case)
        row.verdict, row.status, row.seal = verdict, "resolved", seal
        row.valid_until = datetime(2027, 1, 1, tzinfo=UTC)


def guessed_seal(world: World, case: int) -> Callable[[bytes], str | None]:
    """Seal a row as the product does, with a secret somebody thinks it has."""

    def seal(secret: bytes) -> str | None:
        approvals = Approvals(world.database, secret=secret, epoch="epoch-1")
        with world.database.reading() as session:
            return approvals.seal(session.get_one(CaseRow, case))

    return seal
