"""With a model long-term memory finds by meaning as well; without one it says so and needs none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dryad.execution.memories import Document
from dryad.foundation.database import Database
from dryad.memory.fusion import fuse
from dryad.memory.librarian import EMBEDDED_AT_ONCE, Librarian
from dryad.memory.minilm import MiniLM
from dryad.memory.vectors import Floats, packed, unpacked
from tests.dryad.memory.conftest import ACME, GLOBEX


@dataclass(frozen=True)
class Letters:
    """A small model: texts are alike when they use the same letters."""

    name: str = "letters"
    dimensions: int = 26

    def embed(self, texts: Sequence[str]) -> Floats:
        counts = np.array(
            [[text.lower().count(chr(97 + n)) + 0.01 for n in range(26)] for text in texts],
            np.float32,
        )
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def minilm() -> MiniLM:
    model = MiniLM.installed()
    assert model is not None
    return model


def test_the_model_says_what_its_authors_say_it_says(minilm: MiniLM):
    texts = ["That is a happy person", "That is a very happy person", "Today is a sunny day"]
    vectors = minilm.embed(texts)
    assert vectors.shape == (3, minilm.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(vectors @ vectors[0], [1, 0.943, 0.257], atol=1e-3)


def test_a_text_has_the_same_vector_alone_and_in_company(minilm: MiniLM):
    texts = ["short", "a text of some more words than the other " * 20, "", "漢字"]
    together = minilm.embed(texts)
    alone = np.concatenate([minilm.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_is_found_by_what_it_means(ledger: Database, minilm: MiniLM):
    librarian = Librarian(ledger, embedder=minilm)
    assert librarian.searches_by == "words and meaning (all-MiniLM-L6-v2)"
    ids = {
        topic: librarian.shelve(ACME, Document(topic, text, topic)).id
        for topic, text in {
            "medicine": "The physician examined the sick child.",
            "cars": "The automobile would not start in the cold.",
            "cooking": "Simmer the onions in butter until they are soft.",
        }.items()
    }
    for query, topic in (("doctor patient", "medicine"), ("broken engine of a car", "cars")):
        hit = librarian.search(ACME, query)[0]
        assert hit.document == ids[topic]
        assert hit.parts["meaning"] == 0.5 >= hit.parts["words"]
    assert Librarian(ledger).search(ACME, "doctor patient") == []


def test_without_a_model_only_words_count_and_it_says_so(librarian: Librarian):
    assert librarian.searches_by == "words"
    librarian.shelve(ACME, Document("T", "abc", "o"))
    assert librarian.embed_pending(ACME) == 0
    assert librarian.search(ACME, "abc")[0].parts.keys() == {"bm25"}


def test_large_documents_get_their_meaning_later_and_every_process_sees_it(ledger: Database):
    librarian, other = (Librarian(ledger, embedder=Letters()) for _ in range(2))
    text = "\n\n".join(f"# {n}\n\nzzz qqq {n}" for n in range(EMBEDDED_AT_ONCE + 10))
    librarian.shelve(ACME, Document("", text, "large"))
    librarian.shelve(GLOBEX, Document("", "zzz", "small"))
    before = other.search(ACME, "qqq zzz", 100)
    assert {hit.parts["meaning"] for hit in before} == {0}
    assert librarian.embed_pending(ACME) == EMBEDDED_AT_ONCE
    assert librarian.embed_pending(ACME) == 10
    assert librarian.embed_pending(ACME) == 0
    after = other.search(ACME, "qqq zzz", 100)
    assert len(after) == len(before)
    assert max(hit.parts["meaning"] for hit in after) == 0.5
    assert after == Librarian(ledger, embedder=Letters()).search(ACME, "qqq zzz", 100)


def test_vectors_of_another_model_are_never_compared(ledger: Database):
    Librarian(ledger, embedder=Letters()).shelve(ACME, Document("T", "zzz", "o"))
    newer = Librarian(ledger, embedder=Letters("letters-2"))
    newer.shelve(ACME, Document("T", "aaa", "p"))
    found = {hit.origin: hit.parts["meaning"] for hit in newer.search(ACME, "zz")}
    assert "o" not in found or found["o"] < found.get("p", 1)
    assert newer.embed_pending(ACME) == 1
    assert newer.search(ACME, "zz")[0].origin == "o"


def test_meaning_goes_when_its_document_is_withdrawn(ledger: Database):
    librarian = Librarian(ledger, embedder=Letters())
    first = librarian.shelve(ACME, Document("T", "zzz", "z")).id
    second = librarian.shelve(ACME, Document("T", "zzy", "y")).id
    assert [hit.document for hit in librarian.search(ACME, "zz")] == [first, second]
    librarian.withdraw(ACME, first)
    third = librarian.shelve(ACME, Document("T", "abc", "a")).id
    assert {hit.document for hit in librarian.search(ACME, "zz")} <= {second, third}
    assert librarian.search(ACME, "zz")[0].document == second


vectors = arrays(np.float32, (5, 16), elements=st.floats(-1, 1, width=32)).filter(
    lambda a: bool((np.abs(a).max(axis=1) > 0.1).all())
)


@given(vectors)
def test_packing_keeps_the_direction(rows: Floats):
    kept = unpacked([*packed(rows), None], 16)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    assert ((kept[:5] * rows / lengths).sum(axis=1) > 0.999).all()
    assert not kept[5].any()


def test_fusing_weighs_both_alike():
    score, words, meaning = fuse(np.array([0.0, 2, 4]), np.array([0.9, 0.1, -0.1]))
    np.testing.assert_allclose(score, [0.5, 0.25 + 0.05 / 0.9, 0.5])
    np.testing.assert_allclose(words, [0, 0.25, 0.5])
    np.testing.assert_allclose(meaning, [0.5, 0.05 / 0.9, 0])


def test_a_lone_hit_stays_a_hit():
    none = np.zeros(1)
    assert fuse(np.array([3.0]), none)[0] == 0.5
    assert fuse(none, np.array([0.3]))[0] == 0.5
    assert fuse(none, np.array([-0.3]))[0] == 0
    assert fuse(np.zeros(0), np.zeros(0))[0].size == 0
