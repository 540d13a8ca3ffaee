"""A dialogue is found better by windows than by turns alone, on the sample that is shipped."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dryad.execution.memories import Document
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.ids import TenantId
from dryad.memory.dialogues import Dialogues, Turn
from dryad.memory.librarian import Librarian

SAMPLE = Path(__file__).parents[1] / "benchmarks" / "samples" / "dialogues.json"
ACME = TenantId("acme")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LIMIT = 5


@pytest.fixture
def librarian(database: Database) -> Librarian:
    with database.transaction() as session:
        session.add(TenantRow(id=ACME, name="acme", status="active", created=utc_now()))
    return Librarian(database)


def sample() -> list[dict[str, Any]]:
    return json.loads(SAMPLE.read_text())


def turns(said: list[str]) -> Iterator[Turn]:
    for number, text in enumerate(said):
        yield Turn("Ada" if number % 2 else "Bob", text, NOON + timedelta(minutes=number))


def recall(holds: Callable[[str, str, int], bool]) -> float:
    """The share of questions among whose first answers is the turn that tells."""
    found = [
        holds(question["text"], dialogue["name"], question["turn"])
        for dialogue in sample()
        for question in dialogue["questions"]
    ]
    return sum(found) / len(found)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_windows_find_what_turns_alone_do_not(librarian: Librarian):
    dialogues = Dialogues(librarian)
    for dialogue in sample():
        dialogues.remember(ACME, dialogue["name"], [*turns(dialogue["turns"])])
        for number, turn in enumerate(turns(dialogue["turns"])):
            line = f"{turn.speaker}: {turn.text}"
            origin = f"{dialogue['name']}/{number}"
            librarian.shelve(ACME, Document("", line, origin, category="turns"))

    def by_windows(question: str, name: str, turn: int) -> bool:
        hits = dialogues.search(ACME, question, LIMIT)
        return any(hit.dialogue == name and hit.first <= turn <= hit.last for hit in hits)

    def by_turns(question: str, name: str, turn: int) -> bool:
        hits = librarian.search(ACME, question, LIMIT, category="turns")
        return any(hit.origin == f"{name}/{turn}" for hit in hits)

    windows, alone = recall(by_windows), recall(by_turns)
    assert windows >= 0.75
    assert windows > alone + 0.2
