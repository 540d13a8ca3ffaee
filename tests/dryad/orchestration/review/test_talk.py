"""What is said about a question is read by who decides and by the agent, and decides nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dryad.foundation.errors import Conflict, InvalidRequest, LimitExceeded, NotFound
from dryad.orchestration.hybrid import verdict_of
from dryad.orchestration.review.talk import MOST_MESSAGES, Talk
from tests.dryad.orchestration.review.conftest import ACME, BOB, GLOBEX, QUESTION, World


@pytest.fixture
def talk(world: World) -> Talk:
    return Talk(world.database, world.audit, lambda: world.now)


def test_a_message_says_that_somebody_looks_at_it_and_stands_in_the_brief(world: World, talk: Talk):
    case = world.cases.settle(QUESTION)
    talk.say(ACME, case.id, "Why so late?", by="key:b")
    talk.say(ACME, case.id, "# The window moved", by="key:k")
    shown = world.cases.get(ACME, case.id)
    assert (shown.status, shown.verdict) == ("in_progress", None)
    assert "key:b: Why so late?" in shown.brief
    assert "\n# The window moved" not in shown.brief
    assert [said.sender for said in talk.of(case.id)] == ["key:b", "key:k"]
    assert world.events().count("question_discussed") == 2


def test_what_was_said_reaches_the_agent_with_the_answer(world: World, talk: Talk):
    case = world.cases.settle(QUESTION)
    talk.say(ACME, case.id, "Ask for Monday.", by="key:k")
    closed = world.cases.answer(ACME, case.id, decision="reject", reason="not today", by=BOB)
    assert verdict_of(closed).reason == "not today; key:k said: Ask for Monday."


def test_a_closed_question_a_foreign_one_and_no_words_are_refused(world: World, talk: Talk):
    case = world.cases.settle(QUESTION)
    with pytest.raises(NotFound):
        talk.say(GLOBEX, case.id, "hello", by="key:x")
    for text in ("", "  ", "x" * 4_001):
        with pytest.raises(InvalidRequest):
            talk.say(ACME, case.id, text, by="key:b")
    for _ in range(MOST_MESSAGES):
        talk.say(ACME, case.id, "more", by="key:b")
    with pytest.raises(LimitExceeded):
        talk.say(ACME, case.id, "more", by="key:b")
    world.cases.answer(ACME, case.id, decision="approve", reason="fine", by=BOB)
    with pytest.raises(Conflict):
        talk.say(ACME, case.id, "too late", by="key:b")


def test_one_is_reminded_once_when_a_quarter_of_the_time_is_left(world: World, talk: Talk):
    case = world.cases.settle(QUESTION)
    world.now += timedelta(hours=17)
    assert talk.remind() == []
    young = world.cases.settle(replace(QUESTION, ordinal=2))
    world.now += timedelta(hours=1)
    assert [one.case for one in talk.remind()] == [case.id]
    assert talk.remind() == []
    world.now += timedelta(hours=18)
    assert [one.case for one in talk.remind()] == [young.id]
