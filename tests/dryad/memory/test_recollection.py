"""A restored memory is proved by what it does: its mirrors are made anew, and it finds."""

from functools import partial
from typing import Any

from redis import Redis
from sqlalchemy import update

from dryad.execution.memories import Document
from dryad.foundation.database import Database
from dryad.foundation.database.models import PassageRow
from dryad.memory.archivist import Archivist
from dryad.memory.index.chroma import ChromaIndex
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.recent.redis import RedisMirror
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


def opened(server: Killable, kind: type[ChromaIndex] = ChromaIndex) -> ChromaIndex:
    url = f"http://127.0.0.1:{server.port}"
    return kind(url, installation="verifyhere", timeout=10 * PATIENCE)


class Blind(ChromaIndex):
    """Holds everything and names nothing."""

    def nearest(self, *_: Any, **__: Any) -> list[int]:
        return []


def test_the_mirror_is_made_anew_searched_and_taken_away(ledger: Database, chroma_server: Killable):
    url = filled(ledger)
    left = opened(chroma_server)
    left.create(1)  # a proof that was killed
    assert Recollection(Letters(), partial(opened, chroma_server))(url) == []
    assert left.generations() == set()
    blind = Recollection(Letters(), partial(opened, chroma_server, Blind))
    problems = blind(url)
    assert len(problems) == SEARCHES  # the ledger alone would have found each
    assert all("is not found through the mirror" in problem for problem in problems)
    assert left.generations() == set()
    left.close()


class Forgetful(RedisMirror):
    """Holds everything and tells nothing."""

    def read(self, *_: Any) -> None:
        return None


def test_short_term_values_are_made_anew_read_and_taken_away(
    ledger: Database, redis_server: Killable
):
    address = f"redis://127.0.0.1:{redis_server.port}"
    live = RedisMirror(address, installation="live", timeout=PATIENCE)
    copy = RecentCopy(ledger, live)
    archivist = Archivist(ledger, copy=copy)
    copy.keep()  # so that the ledger says of this very server that it holds a copy
    for number in range(30):
        archivist.remember(ACME, "scout", f"key-{number}", {"n": number})
    url = ledger.url.render_as_string(hide_password=False)
    client: Any = Redis.from_url(address)  # pyright: ignore[reportUnknownMemberType] - partly typed
    client.set("dryad:verifyhere:7:value:acme:scout:left", b"by a proof that was killed")

    def proved(kind: type[RedisMirror]) -> list[str]:
        return Recollection(
            recent=lambda: kind(address, installation="verifyhere", timeout=PATIENCE)
        )(url)

    assert proved(RedisMirror) == []
    problems = proved(Forgetful)
    assert len(problems) == SEARCHES
    assert "not read as the ledger has it" in problems[0]
    assert client.keys("dryad:verifyhere:*") == []
    assert len(client.keys("dryad:live:*:value:*")) == 30
    client.close()
    live.close()
