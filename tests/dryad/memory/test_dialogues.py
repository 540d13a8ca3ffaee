"""A dialogue is found by what was said around a turn, and its dates by when they were said."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.foundation.errors import InvalidRequest
from dryad.memory.dialogues import Dialogues, Turn
from dryad.memory.librarian import Librarian
from dryad.memory.moments import resolved
from tests.dryad.memory.conftest import ACME, GLOBEX

MONDAY = date(2026, 5, 4)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("I saw it yesterday.", "I saw it yesterday (2026-05-03)."),
        ("The day before yesterday", "The day before yesterday (2026-05-02)"),
        ("See you tomorrow, or today?", "See you tomorrow (2026-05-05), or today (2026-05-04)?"),
        ("three weeks ago", "three weeks ago (2026-04-13)"),
        ("In 10 days", "In 10 days (2026-05-14)"),
        ("five months ago", "five months ago (2025-12)"),
        ("two years ago", "two years ago (2024)"),
        ("last week", "last week (2026-W18)"),
        ("next month", "next month (2026-06)"),
        ("last Monday", "last Monday (2026-04-27)"),
        ("next Friday", "next Friday (2026-05-08)"),
        ("next sunday", "next sunday (2026-05-10)"),
        ("lasting yesterdays", "lasting yesterdays"),
        ("999 years ago", "999 years ago (1027)"),
    ],
)
def test_a_relative_date_is_told_by_when_it_was_said(said: str, meant: str):
    assert resolved(said, MONDAY) == meant


words = st.sampled_from(
    ["yesterday", "in", "two", "weeks", "ago", "last", "friday", "next", "year", "900", "x", "."]
)


@given(st.lists(words, max_size=12).map(" ".join), st.dates())
def test_nothing_but_dates_in_brackets_is_added(said: str, day: date):
    told, place = resolved(said, day), 0
    for character in told:
        if place < len(said) and character == said[place]:
            place += 1
    assert place == len(said)


def talk(*lines: str) -> list[Turn]:
    return [
        Turn("Ada" if n % 2 == 0 else "Bob", line, NOON + timedelta(minutes=n))
        for n, line in enumerate(lines)
    ]


CHAT = talk(
    "Good morning!",
    "Morning. How is the old turbine?",
    "Its blades have cracks.",
    "Since when?",
    "We found them yesterday.",
    "Then let us have lunch.",
    "Soup again?",
)


def test_a_turn_is_found_by_what_stands_beside_it(librarian: Librarian):
    dialogues = Dialogues(librarian)
    assert dialogues.remember(ACME, "turbine", CHAT) == len(CHAT) - 2
    best = dialogues.search(ACME, "When were cracks in the turbine found?")[0]
    assert best.dialogue == "turbine"
    assert "yesterday (2026-05-03)" in best.text or best.last >= 3
    day = dialogues.search(ACME, "2026-05-03", 1)[0]
    assert "We found them yesterday (2026-05-03)." in day.text
    assert day.provenance == "untrusted"
    assert dialogues.search(GLOBEX, "turbine") == []


def test_windows_that_overlap_are_told_once(librarian: Librarian):
    dialogues = Dialogues(librarian)
    dialogues.remember(ACME, "a", CHAT)
    dialogues.remember(ACME, "b", talk("A turbine, too.", "Indeed."))
    found = dialogues.search(ACME, "turbine cracks lunch soup", 10)
    for name in ("a", "b"):
        turns = [n for w in found if w.dialogue == name for n in range(w.first, w.last + 1)]
        assert len(turns) == len(set(turns)) > 0


def test_of_two_windows_that_fit_alike_the_one_in_good_company_wins(librarian: Librarian):
    dialogues = Dialogues(librarian)
    filler = ["Hm hm hm.", "So so so.", "Well well well."]
    dialogues.remember(ACME, "alone", talk(*filler, "The pump leaks.", *filler))
    dialogues.remember(
        ACME, "company", talk("Pump pump pump.", "The pump?", "The pump leaks.", "Pump!", "A pump.")
    )
    assert dialogues.search(ACME, "pump", 1)[0].dialogue == "company"


def test_a_dialogue_that_goes_on_is_added_to(librarian: Librarian):
    dialogues = Dialogues(librarian)
    dialogues.remember(ACME, "turbine", CHAT[:4])
    before = {kept.id for kept in librarian.list(ACME)}
    dialogues.remember(ACME, "turbine", CHAT)
    after = {kept.id for kept in librarian.list(ACME)}
    assert before < after
    assert len(after) == len(CHAT) - 2


def test_of_a_dialogue_that_was_cut_nothing_else_is_found(librarian: Librarian):
    dialogues = Dialogues(librarian)
    dialogues.remember(ACME, "turbine", CHAT)
    dialogues.remember(ACME, "other", talk("Soup, soup."))
    dialogues.remember(ACME, "turbine", CHAT[:4])
    assert [window.dialogue for window in dialogues.search(ACME, "lunch soup", 10)] == ["other"]
    assert dialogues.search(ACME, "cracks", 1)[0].last <= 3


def test_what_is_no_dialogue_is_refused(librarian: Librarian):
    dialogues = Dialogues(librarian)
    for turns in ([], [Turn("Ada", " ", NOON)], [Turn("Ada", "x", NOON.replace(tzinfo=None))]):
        with pytest.raises(InvalidRequest):
            dialogues.remember(ACME, "d", turns)
    with pytest.raises(InvalidRequest):
        dialogues.search(ACME, "x", 0)
