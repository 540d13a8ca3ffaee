"""Long-term memory is the same with its vectors in the process and with a mirror that has them."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from dryad.execution.memories import Document
from dryad.foundation.database import Database
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy
from tests.dryad.memory.conftest import ACME, GLOBEX, Hands, chroma_index
from tests.dryad.memory.test_meaning import Letters

TEXTS = [
    f"{letter * 3} {letter * 2}{other} {other * 3}" for letter in "abcdef" for other in "vwxyz"
]

Opened = Callable[[], Librarian]


@pytest.fixture
def opened(
    request: pytest.FixtureRequest, ledger: Database, clock: Hands, memory: str
) -> Generator[Opened]:
    """Open another process's long-term memory of the same ledger."""
    if memory == "embedded":
        yield lambda: Librarian(ledger, clock=clock, embedder=Letters())
        return
    with closing(chroma_index(request.getfixturevalue("chroma_server"))) as index:
        IndexCopy(ledger, index, Letters(), clock=clock).keep()

        def librarian() -> Librarian:
            copy = IndexCopy(ledger, index, Letters(), clock=clock)
            return Librarian(ledger, clock=clock, embedder=Letters(), copy=copy)

        yield librarian
        assert librarian().degraded == ""
        index.drop_others(0)


@pytest.fixture(params=["embedded", "chroma"])
def memory(request: pytest.FixtureRequest) -> str:
    return request.param


def ids(librarian: Librarian, query: str, **more: object) -> list[str]:
    return [hit.document for hit in librarian.search(ACME, query, 10, **more)]  # type: ignore[arg-type]


def test_what_one_process_shelves_all_find_at_once(opened: Opened):
    writer, reader = opened(), opened()
    for text in TEXTS:
        shelved = writer.shelve(ACME, Document("", text, text))
        assert ids(reader, text)[0] == ids(writer, text)[0] == shelved.id


def test_both_rank_alike(opened: Opened, ledger: Database):
    librarian = opened()
    librarian.shelve_all(ACME, [Document("", text, text) for text in TEXTS])
    plain = Librarian(ledger, embedder=Letters())
    for query in ("aaa", "vvv bb", "f z y", "nothing of it", "?"):
        found, expected = librarian.search(ACME, query, 10), plain.search(ACME, query, 10)
        assert [(hit.document, pytest.approx(hit.score, abs=1e-5)) for hit in expected] == [
            (hit.document, hit.score) for hit in found
        ]


def test_no_tenant_sees_another(opened: Opened):
    librarian = opened()
    mine = librarian.shelve(ACME, Document("", "aaa bbb", "o")).id
    yours = librarian.shelve(GLOBEX, Document("", "aaa bbb", "o")).id
    assert [hit.document for hit in librarian.search(ACME, "aaa", 100)] == [mine]
    assert [hit.document for hit in librarian.search(GLOBEX, "ab", 100)] == [yours]


def test_filters_hold_for_words_and_meaning(opened: Opened):
    librarian = opened()
    document = Document("", "aaa", "o")
    kinds = {
        librarian.shelve(ACME, replace(document, text=f"aaa {n}", category=c, agent=a)).id: (c, a)
        for n, (c, a) in enumerate([("x", ""), ("x", "scout"), ("y", ""), ("y", "other")])
    }
    for query in ("aaa", "aa"):
        assert {kinds[i] for i in ids(librarian, query, category="x")} == {
            ("x", ""), ("x", "scout"),
        }  # fmt: skip
        assert {kinds[i] for i in ids(librarian, query, agents={"", "scout"})} == {
            ("x", ""), ("x", "scout"), ("y", ""),
        }  # fmt: skip


def test_times_and_details_narrow_words_and_meaning(opened: Opened, clock: Hands):
    librarian = opened()
    for number, word in enumerate("bcdefg"):
        details = {"odd": bool(number % 2), "place": {"floor": number}}
        librarian.shelve(ACME, Document("", f"aaa {word}", word, details=details))
        clock.move(hours=1)
    since, until = clock() - timedelta(hours=4), clock() - timedelta(hours=1)
    for asker, query in product((librarian, opened()), ("aaa", "aa")):
        for filters, expected in (
            ({"since": since}, "defg"),
            ({"since": since, "until": until}, "def"),
            ({"details": {"odd": True}}, "ceg"),
            ({"details": {"odd": True}, "since": since}, "eg"),
            ({"details": {"odd": 1}}, ""),
        ):
            found = asker.search(ACME, query, 10, **filters)
            assert {hit.origin for hit in found} == {*expected}
            assert asker.degraded == ""


def test_what_is_taken_away_is_found_by_nobody(opened: Opened):
    librarian, reader = opened(), opened()
    gone, replaced, forgotten, stays = (
        librarian.shelve(ACME, Document("", f"aaa {n}", f"o{n}")).id for n in "bcde"
    )
    assert len(ids(reader, "aa")) == 4
    librarian.withdraw(ACME, gone)
    librarian.forget(ACME, forgotten)
    new = librarian.shelve(ACME, Document("", "aaa ccc", "oc"), replace=True).id
    assert replaced != new
    assert set(ids(reader, "aa")) == {new, stays}
    again = librarian.shelve(ACME, Document("", "aaa b", "ob")).id
    assert again == gone
    assert set(ids(reader, "aa")) == {new, stays, gone}
