"""A restored memory is proved by what it does: its mirror is made anew, and it finds."""

from sqlalchemy import update

from dryad.execution.memories import Document
from dryad.foundation.database import Database
from dryad.foundation.database.models import PassageRow
from dryad.memory.index.chroma import ChromaIndex
from dryad.memory.librarian import Librarian
from dryad.memory.recollection import SEARCHES, Recollection
from tests.dryad.memory.conftest import ACME, PATIENCE
from tests.dryad.memory.test_meaning import Letters
from tests.servers import Killable

WORDS = ("harbour", "tide", "anchor", "lantern", "barrel", "compass", "rope", "sail", "deck")


def filled(ledger: Database) -> str:
    librarian = Librarian(ledger, embedder=Letters())
    for number in range(40):
        said = " ".join(f"{word}{number}" for word in WORDS)
        librarian.shelve(ACME, Document(f"Title {number}", said, f"d{number}"))
    return ledger.url.render_as_string(hide_password=False)


def test_what_is_there_is_found_and_what_was_spoilt_is_named(ledger: Database):
    url, proof = filled(ledger), Recollection()
    assert proof(url) == []
    with ledger.transaction() as session:
        session.execute(update(PassageRow).values(text="spoilt " + PassageRow.document))
    problems = proof(url)
    assert len(problems) == SEARCHES
    assert "not found by its own words" in problems[0]


def test_the_mirror_is_made_anew_searched_and_taken_away(ledger: Database, chroma_server: Killable):
    made: list[str] = []

    def opened(name: str) -> ChromaIndex:
        made.append(name)
        url = f"http://127.0.0.1:{chroma_server.port}"
        return ChromaIndex(url, installation=name, timeout=10 * PATIENCE)

    url = filled(ledger)
    assert Recollection(Letters(), opened)(url) == []
    (name,) = made
    left = opened(name)
    assert left.generations() == set()
    left.close()
