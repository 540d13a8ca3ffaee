"""What is recorded once is never done again, and only the latest attempt may record."""

from datetime import UTC, datetime, timedelta

import pytest

from dryad.foundation.database import Database
from dryad.foundation.errors import Corrupt, Superseded
from dryad.foundation.ids import RunId
from dryad.foundation.journal import Journal

RUN = RunId("run-1")


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


def test_a_recorded_outcome_is_found_again_and_never_replaced(journal: Journal):
    lease = journal.claim(RUN, holder="a")
    journal.record(lease, "assess", 1, {"task": "t"}, {"score": 0.5})
    assert journal.record(lease, "assess", 1, {"task": "t"}, {"score": 0.9}) == {"score": 0.5}
    found = journal.find(RUN, "assess", 1, {"task": "t"})
    assert found is not None
    assert (found.state, found.outcome) == ("done", {"score": 0.5})


def test_two_equal_calls_are_two_steps(journal: Journal):
    lease = journal.claim(RUN, holder="a")
    journal.record(lease, "tool", 1, {"q": 1}, "first")
    assert journal.find(RUN, "tool", 2, {"q": 1}) is None
    assert journal.record(lease, "tool", 2, {"q": 1}, "second") == "second"


def test_other_inputs_at_the_same_place_are_refused(journal: Journal):
    lease = journal.claim(RUN, holder="a")
    journal.record(lease, "tool", 1, {"q": 1}, "first")
    with pytest.raises(Corrupt, match="tool#1"):
        journal.find(RUN, "tool", 1, {"q": 2})


def test_an_earlier_attempt_can_write_nothing_more(journal: Journal):
    first = journal.claim(RUN, holder="a")
    journal.intend(first, "pay", 1, {})
    second = journal.claim(RUN, holder="b")
    for late in (
        lambda: journal.record(first, "pay", 1, {}, "paid"),
        lambda: journal.intend(first, "pay", 2, {}),
        lambda: journal.renew(first),
        lambda: journal.release(first),
    ):
        with pytest.raises(Superseded):
            late()
    step = journal.intend(second, "pay", 1, {})
    assert (step.state, step.attempt) == ("intended", first.attempt)
    journal.doubt(second, "pay", 1)
    assert [s.state for s in journal.steps(RUN)] == ["doubtful"]


def test_what_is_spent_is_spent_with_the_intent_or_not_at_all(journal: Journal):
    lease = journal.claim(RUN, holder="a")

    def refuse(_session: object) -> None:
        raise Superseded("the approval is used")

    with pytest.raises(Superseded):
        journal.intend(lease, "pay", 1, {}, spend=refuse)
    assert journal.steps(RUN) == []


def test_a_silent_process_lapses_and_is_fenced_once(database: Database):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    journal = Journal(database, clock=lambda: now, lease=timedelta(seconds=30))
    lease = journal.claim(RUN, holder="a")
    assert journal.lapsed() == []
    now += timedelta(seconds=31)
    assert journal.lapsed() == [lease]
    assert journal.fence(lease)
    assert not journal.fence(lease)
    assert journal.lapsed() == []
    with pytest.raises(Superseded):
        journal.renew(lease)


def test_the_past_of_a_run_is_read_once_and_compared_like_the_rest(journal: Journal):
    lease = journal.claim(RUN, holder="a")
    journal.record(lease, "assess", 1, {"task": "t"}, {"score": 0.5})
    past = journal.past(RUN)
    journal.record(lease, "decide", 1, {}, "later")
    found = past.find("assess", 1, {"task": "t"})
    assert found is not None
    assert found.outcome == {"score": 0.5}
    assert past.find("decide", 1, {}) is None
    with pytest.raises(Corrupt, match="assess#1"):
        past.find("assess", 1, {"task": "other"})


def test_a_revoked_run_writes_nothing_more_until_it_is_claimed_anew(journal: Journal):
    lease = journal.claim(RUN, holder="one")
    assert journal.holds(lease)
    journal.revoke(RUN)
    assert not journal.holds(lease)
    assert not journal.is_carried(RUN)
    for write in (journal.renew, journal.release, lambda old: journal.intend(old, "a", 1, {})):
        with pytest.raises(Superseded):
            write(lease)
    assert journal.lapsed() == []
    assert journal.intend(journal.claim(RUN, holder="two"), "a", 1, {}).attempt == 3
