"""A note says nothing its source did not say, and never looks more trustworthy than its sources."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.execution.coordinator import Asker, Coordinator
from dryad.execution.scribe import Jot, Scribe, compose
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import Archivist
from dryad.memory.librarian import Librarian

ACME = TenantId("acme")
SCOUT = Asker(ACME, "scout")
REPORT = """\
# Turbine inspection

The turbine shows cracks in two blades. Weather was fine.
The cracks in the blades of the turbine grow under load. Lunch was late.

- replace both blades
- inspect the turbine again in May
"""


@pytest.fixture
def coordinator(database: Database) -> Coordinator:
    with database.transaction() as session:
        session.add(TenantRow(id=ACME, name="Acme", status="active", created=utc_now()))
    return Coordinator(Archivist(database), Librarian(database))


@pytest.fixture
def scribe(coordinator: Coordinator) -> Scribe:
    return Scribe(coordinator)


def test_a_note_is_found_again_with_its_title_and_summary(scribe: Scribe, coordinator: Coordinator):
    note, stored = scribe.note(SCOUT, REPORT)
    assert note.title == "Turbine inspection"
    assert "cracks" in note.summary
    assert note.key_points == ("replace both blades", "inspect the turbine again in May")
    hit = coordinator.search(SCOUT, "long_term", "which blades have cracks")[0]
    assert hit.reference == stored.id
    assert hit.passage is not None
    assert (hit.passage.title, hit.passage.provenance) == ("Turbine inspection", "trusted")
    assert stored.id is not None
    assert coordinator.retrieve(SCOUT, "long_term", stored.id).value == note.text


@pytest.mark.parametrize(
    ("own", "sources", "label"),
    [
        ("trusted", [], "trusted"),
        ("trusted", ["trusted", "untrusted"], "untrusted"),
        ("untrusted", ["trusted"], "untrusted"),
    ],
)
def test_one_untrusted_source_makes_the_note_untrusted(
    scribe: Scribe, coordinator: Coordinator, own: str, sources: list[str], label: str
):
    scribe.note(SCOUT, REPORT, provenance=own, sources=sources, kind="working")  # type: ignore[arg-type]
    hits = coordinator.search(SCOUT, "working", "turbine")
    assert {hit.source for hit in hits} == {"archivist", "librarian"}
    assert {hit.provenance for hit in hits} == {label}


@pytest.mark.parametrize(
    ("source_type", "priority", "recent", "lasting"),
    [
        ("conversation", 5, True, False),
        ("conversation", 8, True, True),
        ("tool_output", 1, True, True),
        ("document", 5, False, True),
    ],
)
def test_where_a_note_goes_depends_on_its_source_and_priority(
    scribe: Scribe, source_type: str, priority: int, recent: bool, lasting: bool
):
    note, stored = scribe.note(SCOUT, REPORT, source_type=source_type, priority=priority)  # type: ignore[arg-type]
    assert (stored.key is not None, stored.id is not None) == (recent, lasting)
    assert (note.about.language, note.about.confidence > 0, bool(note.about.topics)) == (
        "en", True, True,
    )  # fmt: skip


def test_the_same_words_are_flagged_with_the_note_they_repeat(scribe: Scribe):
    _, first = scribe.note(SCOUT, REPORT)
    _, again = scribe.note(SCOUT, REPORT.replace("\n", "\r\n") + "   \r\n\r\n")
    assert again.duplicate_of == first.id


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        ("  \n\t ", "empty"),
        (b"\x89PNG\r\n\x1a\n", "binary"),
        ("a\x00b", "binary"),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3", "binary"),
        ("lone \ud800 half", "binary"),
        ("x" * 1_000_001, "1,000,000 bytes"),
        ("ü" * 500_001, "1,000,000 bytes"),
    ],
)
def test_what_is_no_note_is_refused_with_a_hint(
    scribe: Scribe, coordinator: Coordinator, content: str | bytes, why: str
):
    with pytest.raises(InvalidRequest, match=why) as refused:
        scribe.note(SCOUT, content, kind="working")
    assert refused.value.next_step
    assert coordinator.search(SCOUT, "working", "x") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_bytes_are_read_in_the_encoding_they_declare(encoding: str):
    assert compose("Grüße, 東京".encode(encoding)).text == "Grüße, 東京"


def test_the_shortest_note_is_one_byte(scribe: Scribe):
    note, _ = scribe.note(SCOUT, b"x")
    assert (note.title, note.summary, note.key_points) == ("x", "x", ("x",))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), min_size=1))
def test_summary_title_and_points_are_short_and_taken_from_the_text(content: str):
    try:
        note = compose(content)
    except InvalidRequest:
        assert not content.strip()
        return
    assert 0 < len(note.summary) <= 200
    assert 0 < len(note.title) <= 80
    assert 0 < len(note.key_points) <= 10
    flat = " ".join(note.text.split())
    for point in note.key_points:
        assert point.removesuffix("…") in flat


def test_the_same_text_always_makes_the_same_note():
    assert compose(REPORT) == compose(REPORT)


def test_what_a_note_is_about_is_kept_with_it(scribe: Scribe, coordinator: Coordinator):
    text = "Marie Curie measured the turbine blades near Hamburg. " * 6
    note, stored = scribe.note(SCOUT, text)
    assert note.about.language == "en"
    assert "Marie Curie" in note.about.entities
    assert stored.id is not None
    kept = coordinator._long_term.read(ACME, stored.id)
    assert kept.details["language"] == "en"
    assert kept.details["topics"] == list(note.about.topics)
    assert kept.details["confidence"] == note.about.confidence > 0.5


def test_almost_the_same_note_is_kept_and_flagged(scribe: Scribe):
    _, first = scribe.note(SCOUT, REPORT)
    _, again = scribe.note(SCOUT, REPORT.replace("Lunch was late", "Lunch was cold"))
    assert again.near == first.id
    assert again.duplicate_of is None
    assert again.likeness > 0.7


def test_one_bad_text_of_a_batch_costs_no_other(scribe: Scribe, coordinator: Coordinator):
    jots = [Jot(REPORT), Jot(b"\x89PNG"), Jot(""), Jot("x" * 1_000_001), Jot(REPORT), Jot("Last.")]
    answers = scribe.note_all(SCOUT, jots)
    assert [bool(answer.error) for answer in answers] == [False, True, True, True, False, False]
    assert "binary" in answers[1].error
    assert answers[4].stored is not None
    assert answers[0].stored is not None
    assert answers[4].stored.duplicate_of == answers[0].stored.id
    assert coordinator.search(SCOUT, "long_term", "last")
    with pytest.raises(InvalidRequest, match="at most 50"):
        scribe.note_all(SCOUT, [Jot("x")] * 51)
