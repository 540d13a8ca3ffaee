"""A model may describe a note: in few words, at its tenant's cost, and under the note's label."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from dryad.execution.annotations import MOST_ENTITIES, MOST_TOPICS
from dryad.execution.coordinator import Asker, Coordinator
from dryad.execution.models.language import Language
from dryad.execution.models.prices import PerToken
from dryad.execution.scribe import SUMMARY_CHARACTERS, TITLE_CHARACTERS, Note, Scribe
from dryad.execution.telling import MOST_POINTS, Teller, read_description
from dryad.foundation.audit import Audit
from dryad.foundation.budgets import Budgets
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import TenantId
from dryad.foundation.stops import Stops
from dryad.memory.archivist import Archivist
from dryad.memory.librarian import Librarian

ACME = TenantId("acme")
SCOUT = Asker(ACME, "scout")
TEXT = "Ada Lovelace wrote the first program for the Analytical Engine. It computed numbers."
SAID: dict[str, Any] = {
    "title": "The first program",
    "summary": "Ada Lovelace programmed a machine that was never built.",
    "key_points": ["Ada Lovelace wrote it", "It computed numbers"],
    "entities": ["Ada Lovelace", "Charles Babbage"],
    "topics": ["history of computing"],
}


@pytest.fixture
def ledger(database: Database) -> Database:
    with database.transaction() as session:
        session.add(TenantRow(id=ACME, name="Acme", status="active", created=utc_now()))
    return database


@pytest.fixture
def audit(ledger: Database, tmp_path: Path) -> Audit:
    return Audit(ledger, b"k" * 32, tmp_path / "heads")


@pytest.fixture
def budgets(ledger: Database, audit: Audit) -> Budgets:
    return Budgets(ledger, audit)


@pytest.fixture
def stops(ledger: Database, audit: Audit) -> Stops:
    return Stops(ledger, audit)


@pytest.fixture
def scribe(ledger: Database, budgets: Budgets, stops: Stops) -> Callable[..., Scribe]:
    """Return a Scribe whose model always says the same, an object or prose."""

    def made(said: dict[str, Any] | str = SAID, *, most_tokens: int = 8_000) -> Scribe:
        def answer(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            if isinstance(said, str):
                return ModelResponse(parts=[TextPart(said)])
            return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, said)])

        def language(_tenant: TenantId) -> Language:
            return Language(
                FunctionModel(answer), price=PerToken(Decimal(1), Decimal(2)), seconds=10
            )

        teller = Teller(language, budgets, stops, most_tokens=most_tokens)
        return Scribe(Coordinator(Archivist(ledger), Librarian(ledger)), teller=teller)

    return made


def described(scribe: Scribe, text: str = TEXT, **more: Any) -> Note:
    note, _ = scribe.note(SCOUT, text, **more)
    return note


def test_a_note_is_described_in_the_models_words_and_says_so(
    scribe: Callable[..., Scribe], budgets: Budgets, ledger: Database
):
    maker = scribe()
    note, stored = maker.note(SCOUT, TEXT, provenance="untrusted")
    assert (note.title, note.summary) == (SAID["title"], SAID["summary"])
    assert note.about.entities == ("Ada Lovelace",)  # nobody speaks of Babbage
    assert note.about.language == "en"
    assert note.by
    assert stored.id is not None
    kept = Librarian(ledger).read(ACME, stored.id)
    assert (kept.details["described_by"], kept.details["topics"]) == (note.by, SAID["topics"])
    assert kept.provenance == "untrusted"
    spent = budgets.get(ACME).lines["tokens"]
    assert (spent.spent > 0, spent.reserved) == (True, 0)


def test_a_title_that_was_given_stays(scribe: Callable[..., Scribe]):
    assert described(scribe(), title="Mine").title == "Mine"


@pytest.mark.parametrize("said", ["No.", {**SAID, "title": " \x00 "}, {**SAID, "topics": [""]}])
def test_an_answer_of_no_use_leaves_what_rules_find(
    scribe: Callable[..., Scribe], said: dict[str, Any] | str
):
    note = described(scribe(said))
    assert note.by == ""
    assert note.title == "Ada Lovelace wrote the first program for the Analytical Engine."
    assert "Ada Lovelace" in note.about.entities


def test_nobody_is_asked_who_is_stopped_or_has_nothing_left(
    scribe: Callable[..., Scribe], budgets: Budgets, stops: Stops
):
    stops.set(ACME, "agent:scout", reason="odd", by="ann")
    assert described(scribe()).by == ""
    stops.lift(ACME, "agent:scout", reason="fine", by="bob")
    assert described(scribe(), "Another text, of quite some words.").by
    budgets.open([ACME])
    budgets.set_caps(ACME, {"tokens": 10}, by="ann")
    assert described(scribe(), "A third text, which is as long as it has to be.").by == ""


def test_a_text_too_long_for_what_it_may_use_is_described_by_rules(scribe: Callable[..., Scribe]):
    assert described(scribe(most_tokens=100)).by == ""


words = st.text(max_size=300)
lists = st.lists(words, max_size=40)
answers = st.fixed_dictionaries(
    {"title": words, "summary": words, "key_points": lists, "entities": lists, "topics": lists}
)


@given(answers | st.dictionaries(st.text(max_size=5), st.none() | lists | words), words)
def test_whatever_a_model_says_is_short_and_names_only_what_stands_there(
    said: dict[str, Any], text: str
):
    try:
        told = read_description(said, text)
    except InvalidRequest:
        return
    assert all(told.title + told.summary)
    assert len(told.key_points) <= MOST_POINTS
    assert len(told.topics) <= MOST_TOPICS
    assert len(told.entities) <= MOST_ENTITIES
    flat = " ".join(text.split()).casefold()
    assert all(name.casefold() in flat for name in told.entities)
    each = (told.title, told.summary, *told.key_points, *told.topics)
    assert all(part.isprintable() or part.strip() for part in each)
    assert max(map(len, each)) <= SUMMARY_CHARACTERS
    assert TITLE_CHARACTERS < SUMMARY_CHARACTERS
