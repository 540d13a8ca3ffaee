"""Edited copies are found, different texts are not taken for copies, and owners are kept apart."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.execution.memories import Document
from dryad.foundation.database import Database
from dryad.memory.librarian import Librarian
from dryad.memory.likeness import LEAST, bands, likeness, shingles
from dryad.memory.relations import Relation, Relations
from tests.dryad.memory.conftest import ACME, GLOBEX

TEXTS = [
    paragraph
    for page in sorted((Path(__file__).parents[3] / "docs").rglob("*.md"))
    for paragraph in re.split(r"\n\s*\n", page.read_text())
    if len(paragraph.split()) > 40 and not paragraph.lstrip().startswith(("|", "```", "#"))
]
"""The paragraphs of the project's own documentation."""


def edited(text: str, seed: random.Random) -> str:
    """Delete, repeat, misspell and swap 2-10 % of the words, and change their case."""
    words = text.split()
    for _ in range(max(1, int(len(words) * seed.uniform(0.02, 0.10)))):
        at = seed.randrange(len(words) - 1)
        kind = seed.randrange(4)
        if kind == 0:
            del words[at]
        elif kind == 1:
            words.insert(at, seed.choice(words))
        elif kind == 2:
            words[at] = words[at][::-1]
        else:
            words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words).upper() if seed.random() < 0.2 else "\n".join(words)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_edited_copies_are_found_and_nothing_else_is_taken_for_one(librarian: Librarian):
    """Precision 1.0, recall at least 0.85."""
    seed = random.Random(5)
    known, strange = TEXTS[::2][:100], TEXTS[1::2][:100]
    ids = [
        where.id
        for where in librarian.shelve_all(
            ACME, [Document("", text, str(n), compared=True) for n, text in enumerate(known)]
        )
    ]
    copies = [Document("", edited(text, seed), "copy", compared=True) for text in known]
    found = [librarian.shelve(ACME, replace(copy, agent="")).near for copy in copies]
    assert all(near in {None, own} for near, own in zip(found, ids, strict=True))
    assert sum(near is not None for near in found) >= 0.85 * len(known)
    for text in strange:
        answer = librarian.shelve(ACME, Document("", text, "strange", compared=True))
        assert answer.near is None


def test_a_near_duplicate_is_kept_and_says_what_it_repeats(librarian: Librarian, ledger: Database):
    text = "The turbine shows cracks in two of its blades, which grow under load every day."
    first = librarian.shelve(ACME, Document("", text, "a", compared=True))
    again = librarian.shelve(ACME, Document("", text.replace("two", "three"), "b", compared=True))
    assert (first.near, again.near) == (None, first.id)
    assert LEAST <= again.likeness < 1
    assert again.id != first.id
    kept = Relation(again.id, first.id, "related", again.likeness)
    assert [*Relations(ledger).of(ACME, first.id)] == [kept]
    exact = librarian.shelve(ACME, Document("", text.upper(), "c", compared=True))
    assert exact.duplicate_of == first.id


def test_nobody_elses_text_and_nothing_withdrawn_is_repeated(librarian: Librarian):
    text = "The turbine shows cracks in two of its blades, which grow under load every day."
    changed = Document("", text.replace("two", "three"), "b", compared=True)
    mine = librarian.shelve(ACME, Document("", text, "a", agent="scout", compared=True))
    librarian.shelve(GLOBEX, Document("", text, "a", compared=True))
    assert librarian.shelve(ACME, changed).near is None
    assert librarian.shelve(ACME, replace(changed, agent="scout")).near == mine.id
    librarian.withdraw(ACME, mine.id)
    other = replace(changed, agent="scout", text=text.replace("two", "four"))
    assert librarian.shelve(ACME, other).near != mine.id


texts = st.text("abc \n.", max_size=60)


@given(texts, texts)
def test_likeness_is_a_share_and_the_same_both_ways(one: str, other: str):
    a, b = shingles(one), shingles(other)
    assert likeness(a, b) == likeness(b, a)
    assert 0 <= likeness(a, b) <= 1
    assert likeness(a, a) == (1 if a else 0)
    assert bands(a) == bands(shingles(f" {one.upper()}!"))
