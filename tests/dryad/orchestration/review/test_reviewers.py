"""Who answers is known by a code of their own, and only those answer whom the policy wants."""

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.database.models import ReviewerRow
from dryad.foundation.errors import Conflict, Corrupt, InvalidRequest, NotFound, Refused
from dryad.foundation.tenants import DEFAULT
from dryad.orchestration.review import codes
from dryad.orchestration.review.reviewers import (
    SINGLE_USER_AGAIN,
    Claim,
    Patience,
    Reviewers,
)
from tests.crowd import crowd
from tests.dryad.orchestration.review.conftest import (
    ACME,
    BOB,
    QUESTION,
    SECRET,
    Device,
    World,
)

LOW = replace(QUESTION, tier="reversible", ordinal=9)
"""A question whose form takes a one-time code."""


def settle(world: World, **more: Any) -> Any:
    return world.cases.settle(replace(QUESTION, **more))


# -- single-user mode


def test_until_somebody_is_enrolled_everybody_answers_and_is_called_unverified(world: World):
    case = settle(world)
    assert "who answers is *unverified*" in case.brief
    closed = world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    assert closed.verdict is not None
    assert (closed.verdict.by, closed.verdict.verified) == ("key:b (unverified)", False)
    named = Claim("ada", actor="key:b")
    other = world.cases.answer(
        ACME, settle(world, call=None).id, decision="reject", reason="no", by=named
    )
    assert other.verdict is not None
    assert other.verdict.by == "ada (unverified)"


def test_the_first_enrolment_ends_single_user_mode_for_good(world: World):
    case = settle(world)
    world.enrol("ada")
    assert not world.reviewers.single_user()
    with pytest.raises(Refused, match="say who you are"):
        world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    world.reviewers.set_status("ada", "suspended", by="test")
    assert not world.reviewers.single_user()
    world.fill_in(case.key, decision=f"approve #{case.id}", approver="ada")
    again = world.cases.settle(QUESTION)
    assert again.verdict is None
    assert "unverified" not in again.brief
    told = [row["event"] for row in world.audit.export(DEFAULT)]
    assert told.count("single_user_mode_ended") == 1


def test_only_a_typed_sentence_brings_single_user_mode_back(world: World):
    world.enrol("ada")
    for typed in ("", "yes", SINGLE_USER_AGAIN.upper()):
        with pytest.raises(Refused, match="so many words"):
            world.reviewers.return_to_single_user(by="op", typed=typed)
    world.reviewers.return_to_single_user(by="op", typed=SINGLE_USER_AGAIN)
    assert world.reviewers.single_user()
    assert [one.status for one in world.reviewers.list()] == ["suspended"]
    assert [row["event"] for row in world.audit.export(DEFAULT)][-1] == "single_user_mode_again"


def test_one_unknown_person_cannot_be_the_two_or_the_treasurer_a_policy_wants(world: World):
    for wish in ({"need": "two"}, {"need": "one", "role": "treasurer"}):
        world.policies.set(ACME, {"rules": [wish]}, author="ann")
        case = settle(world, ordinal=len(wish) + 4)
        for name in ("ada", "bob"):
            with pytest.raises(Refused, match="dryad reviewers add"):
                world.cases.answer(
                    ACME, case.id, decision="approve", reason="me too", by=Claim(name)
                )
        world.cases.answer(ACME, case.id, decision="reject", reason="no", by=BOB)


# -- enrolment


def test_a_seed_is_shown_once_and_kept_sealed(world: World, database: Database):
    device = world.enrol("ada", roles=["treasurer"])
    assert re.fullmatch(r"[A-Z2-7]{32}", device.seed)
    with database.reading() as session:
        row = session.get_one(ReviewerRow, "ada")
        assert device.seed.encode() not in row.seed
        assert codes.unseal(SECRET, "ada", row.seed) == device.seed
        for secret, name in ((b"x" * 32, "ada"), (SECRET, "bob")):
            with pytest.raises(Corrupt):
                codes.unseal(secret, name, row.seed)
    assert device.seed not in str(list(world.audit.export(DEFAULT)))
    assert device.seed not in repr(world.reviewers.get("ada"))
    assert device.seed not in repr(world.reviewers.renew("ada", by="test"))


@pytest.mark.parametrize(
    "wrong",
    [{"id": "Ada Lovelace"}, {"id": "a", "roles": ["Big Boss"]}, {"id": "a", "tenants": []}],
)
def test_what_is_no_reviewer_is_not_enrolled(world: World, wrong: dict[str, Any]):
    with pytest.raises(InvalidRequest):
        world.reviewers.add(**wrong, by="test")
    assert world.reviewers.single_user()


def test_a_name_is_taken_once_and_a_lost_device_is_replaced(world: World):
    old = world.enrol("ada")
    with pytest.raises(Conflict):
        world.enrol("ada")
    with pytest.raises(NotFound):
        world.reviewers.renew("eve", by="test")
    new = Device(world, "ada", world.reviewers.renew("ada", by="test").uri)
    case = settle(world)
    with pytest.raises(Refused, match="does not prove"):
        old.answer(case, "approve")
    verdict = new.answer(case, "approve").verdict
    assert verdict is not None
    assert (verdict.by, verdict.verified) == ("ada", True)


# -- codes


def test_codes_are_those_of_rfc_6238():
    """The vectors of its appendix B, cut to six digits."""
    seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for second, code in ((59, "287082"), (1111111109, "081804"), (2000000000, "279037")):
        at = datetime.fromtimestamp(second, tz=UTC)
        assert codes.one_time_step(seed, code, at) == second // 30
        assert codes.one_time_step(seed, f"{code[:3]} {code[3:]}", at) == second // 30
        assert codes.one_time_step(seed, code[:-1], at) is None


@pytest.mark.parametrize(("seconds", "good"), [(-60, False), (-30, True), (30, True), (60, False)])
def test_a_clock_may_be_one_step_off(world: World, seconds: int, good: bool):
    device = world.enrol("ada")
    world.now += timedelta(minutes=5)
    seed, code = device.seed, device.code(later=seconds)
    assert (codes.one_time_step(seed, code, world.now) is not None) == good


def test_a_one_time_code_is_good_once_also_for_another_question(world: World):
    device = world.enrol("ada")
    claim = device.claim()
    first, second = settle(world), settle(world, ordinal=2)
    world.cases.answer(ACME, first.id, decision="approve", reason="ok", by=claim)
    with pytest.raises(Refused, match="new one-time code"):
        world.cases.answer(ACME, second.id, decision="approve", reason="ok", by=claim)
    older = replace(claim, code=device.code(later=-30))  # never used
    with pytest.raises(Refused):
        world.cases.answer(ACME, second.id, decision="approve", reason="ok", by=older)


def use_code(url: str, heads: str, code: str, case: str) -> str:
    database = Database(url)
    audit = Audit(database, b"k" * 32, Path(heads))
    at = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
    reviewers = Reviewers(database, audit, secret=SECRET, clock=lambda: at)
    with database.transaction() as session:
        found = reviewers.prove(
            session, Claim("ada", code), tenant="acme", decision_code=None, one_time=True, at=at
        )
    return "refused" if isinstance(found, str) else found.proof


def test_of_many_who_use_one_code_at_once_one_is_believed(world: World, tmp_path: Any):
    device = world.enrol("ada")
    url = world.database.url.render_as_string(hide_password=False)
    code = device.claim().code
    ended = crowd(4, f"{__name__}:use_code", url, tmp_path / "anchor", code, "1")
    assert [one.complained for one in ended if one.status] == []
    assert Counter(one.said for one in ended) == {"one-time": 1, "refused": 3}


def test_wrong_codes_are_counted_slowed_and_alarmed_but_never_locked_out(world: World):
    device, case = world.enrol("ada"), settle(world)
    said: list[str] = []
    for _ in range(6):
        with pytest.raises(Refused) as refused:
            world.cases.answer(
                ACME, case.id, decision="approve", reason="x", by=Claim("ada", "000000")
            )
        said.append(refused.value.message)
        world.now = world.reviewers.get("ada").wait_until or world.now
    waits = [re.findall(r"in (\d+) s", text) for text in said]
    assert waits == [[], [], ["5"], ["10"], ["20"], ["40"]]
    assert [event for event in world.events() if event.startswith("reviewer")] == [
        *["reviewer_code_refused"] * 4, "reviewer_alarm", "reviewer_code_refused"
    ]  # fmt: skip
    with pytest.raises(Refused):
        world.cases.answer(ACME, case.id, decision="approve", reason="x", by=Claim("ada", "1"))
    right = device.code()
    with pytest.raises(Refused, match="try again after"):  # not even looked at
        world.cases.answer(ACME, case.id, decision="approve", reason="x", by=Claim("ada", right))
    world.now += timedelta(minutes=15)
    assert device.answer(case, "approve").allows
    assert world.reviewers.get("ada").failures == 0


def test_waiting_grows_to_a_bound():
    patience = Patience()
    waits = [patience.after(failures) for failures in range(200)]
    assert waits == sorted(waits)
    assert waits[-1] == patience.most


# -- codes for one decision


def test_a_form_takes_no_one_time_code_for_an_effect_outside(world: World):
    device, case = world.enrol("ada"), settle(world)
    assert case.proof == "decision"
    assert "edit" not in case.form_words
    device.claim()
    world.fill_in(case.key, decision=f"approve #{case.id}", approver="ada", code=device.code())
    again = world.cases.settle(QUESTION)
    assert again.verdict is None
    assert "decision code" in again.brief
    world.fill_in(
        again.key,
        decision=f"approve #{case.id}",
        approver="ada",
        code=device.codes(case)["approve"],
    )
    verdict = world.cases.settle(QUESTION).verdict
    assert verdict is not None
    assert (verdict.decision, verdict.by, verdict.verified) == ("approve", "ada", True)


def test_below_that_a_one_time_code_is_enough_in_a_form(world: World):
    device, case = world.enrol("ada"), world.cases.settle(LOW)
    assert case.proof == "one-time"
    claim = device.claim()
    world.fill_in(case.key, decision=f"reject #{case.id}", approver="ada", code=claim.code)
    verdict = world.cases.settle(LOW).verdict
    assert verdict is not None
    assert (verdict.decision, verdict.by) == ("reject", "ada")


def test_a_code_of_another_decision_approver_case_or_epoch_is_none(world: World):
    ada, _ = world.enrol("ada"), world.enrol("eve")
    case, other = settle(world), settle(world, ordinal=2)
    good = ada.codes(case)
    wrong = [
        ("reject", "ada", good["approve"]),
        ("approve", "ada", good["reject"]),
        ("approve", "eve", good["approve"]),
        ("approve", "ada", ada.codes(other)["approve"]),
        ("approve", "ada", good["approve"].lower().replace("-", "")[:-1]),
        ("approve", "ada", ""),
    ]
    for word, who, code in wrong:
        world.now += timedelta(hours=1)
        world.fill_in(case.key, decision=f"{word} #{case.id}", approver=who, code=code)
        case = world.cases.settle(QUESTION)
        assert case.verdict is None, (word, who, code)
    world.now += timedelta(hours=1)
    plain = good["approve"].lower().replace("-", " ")  # typed by hand
    world.fill_in(case.key, decision=f"approve #{case.id}", approver="ada", code=plain)
    assert world.cases.settle(QUESTION).allows


def test_codes_are_given_to_who_proves_who_they_are(world: World):
    case = settle(world)
    with pytest.raises(Refused, match="nobody is enrolled"):
        world.cases.codes(ACME, case.id, BOB)
    device = world.enrol("ada")
    with pytest.raises(Refused, match="does not prove"):
        world.cases.codes(ACME, case.id, Claim("ada", "123456"))
    assert set(device.codes(case)) == {"approve", "reject", "reply"}
