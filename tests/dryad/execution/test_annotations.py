"""What is said of a text stands in the text, and how far it may be relied on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.execution.annotations import annotate

REPORT = (
    "On 2026-05-04 Marie Curie visited the wind farm of Nordsee Power near Hamburg. "
    "The wind farm lost $12,500 in March because turbine blades had cracks; see "
    "https://example.com/report. Write to care@example.com about turbine blades. "
    "According to Hamburg, the turbine blades are replaced by 4 July 2026."
)


def test_people_places_dates_amounts_and_addresses_are_named():
    found = annotate(REPORT).entities
    assert {
        "2026-05-04", "Marie Curie", "Nordsee Power", "Hamburg", "$12,500", "care@example.com",
        "https://example.com/report", "4 July 2026",
    } <= set(found)  # fmt: skip
    assert "The" not in found


def test_topics_are_the_phrases_that_keep_company():
    topics = annotate(REPORT).topics
    assert "wind farm" in topics
    assert any("turbine blades" in topic for topic in topics[:3])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (REPORT, "en"),
        ("Die Lampe ist grün und steht auf dem Tisch im Wohnzimmer.", "de"),
        ("La lámpara verde está sobre la mesa del comedor.", "es"),
        ("電灯は緑色で、机の上にあります。", "ja"),
        ("1234 5678", ""),
        ("", ""),
    ],
)
def test_the_language_is_told_or_left_open(text: str, language: str):
    assert annotate(text).language == language


def test_little_is_relied_on_little():
    assert annotate(REPORT).confidence > 0.9
    assert annotate("The lamp is green.").confidence < 0.3
    assert annotate("?").confidence == 0


@given(st.text(max_size=500))
def test_whatever_is_found_stands_there(text: str):
    found = annotate(text)
    assert len(found.entities) <= 20
    assert len(found.topics) <= 10
    assert all(word in text.casefold() for topic in found.topics for word in topic.split())
    assert 0 <= found.confidence <= 1
    assert annotate(text) == found
