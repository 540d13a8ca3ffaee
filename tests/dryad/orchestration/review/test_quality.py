"""How people review is measured on what they did."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dryad.orchestration.review.quality import STAMPS_AFTER, Quality, Reviews
from dryad.orchestration.review.reviewers import Claim
from tests.dryad.orchestration.review.conftest import ACME, CALL, GLOBEX, QUESTION, Device, World


def decide(world: World, device: Device, *words: str, seconds: float) -> None:
    """Answer one new question for each word, so long after it was asked."""
    for word in words:
        number = world.events().count("question_opened") + 1
        call = {**CALL, "arguments": {"to": "ops", "message": f"letter {number}"}}
        world.now += timedelta(minutes=1)  # their device shows a new code by then
        case = world.cases.settle(replace(QUESTION, ordinal=number, call=call))
        world.now += timedelta(seconds=seconds)
        by = Claim(device.name, device.code(), "key:b")
        more = {"edited_arguments": {"to": "ops", "message": "mine"}} if word == "edit" else {}
        device.answer(case, word, reply="so" if word == "reply" else "", by=by, **more)


def of(world: World, name: str) -> Quality:
    reviews = Reviews(world.database, lambda: world.now)
    return next(one for one in reviews.quality(ACME) if one.reviewer == name)


@pytest.fixture
def ada(world: World) -> Device:
    return world.enrol("ada")


def test_rates_and_times_are_those_of_the_answers(world: World, ada: Device):
    decide(world, ada, "approve", "approve", "edit", "reject", "reply", seconds=40)
    decide(world, ada, "approve", seconds=400)
    found = of(world, "ada")
    assert found.decisions == 6
    assert (found.approval_rate, found.override_rate) == (0.667, 0.333)
    assert found.median_seconds == 40
    assert not found.rubber_stamp


def test_who_says_yes_to_everything_at_once_raises_an_alarm(world: World, ada: Device):
    decide(world, ada, *["approve"] * (STAMPS_AFTER - 1), seconds=5)
    assert not of(world, "ada").rubber_stamp
    decide(world, ada, "approve", seconds=5)
    assert of(world, "ada").rubber_stamp
    bob = world.enrol("bob")
    decide(world, bob, *["approve"] * STAMPS_AFTER, seconds=120)  # who reads is no stamp
    eve = world.enrol("eve")
    decide(world, eve, *["approve", "reject"] * STAMPS_AFTER, seconds=5)  # nor who says no
    assert not of(world, "bob").rubber_stamp
    assert not of(world, "eve").rubber_stamp


def test_only_the_tenants_own_and_recent_decisions_count(world: World, ada: Device):
    decide(world, ada, "approve", seconds=40)
    reviews = Reviews(world.database, lambda: world.now)
    assert reviews.quality(GLOBEX) == []
    assert [one.reviewer for one in reviews.quality(None)] == ["ada"]
    world.now += timedelta(days=31)
    assert reviews.quality(ACME) == []


def test_the_second_person_is_timed_from_the_first_ones_word(world: World, ada: Device):
    world.policies.set(ACME, {"rules": [{"need": "two"}]}, author="ann")
    bob, case = world.enrol("bob"), world.cases.settle(QUESTION)
    world.now += timedelta(hours=1)
    ada.answer(case, "approve")
    world.now += timedelta(minutes=1)
    bob.answer(case, "approve")
    assert (of(world, "ada").median_seconds, of(world, "bob").median_seconds) == (3630, 90)
