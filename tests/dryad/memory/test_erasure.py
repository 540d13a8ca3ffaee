"""What is forgotten is gone wherever memory kept it, and the report says what still holds it."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from dryad.execution.memories import Document
from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from dryad.memory.archivist import Archivist
from dryad.memory.erasure import Erasure
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.policies import MemoryPolicies
from dryad.memory.recent.redis import RedisMirror
from dryad.memory.relations import Relation, Relations
from tests.dryad.memory.conftest import (
    ACME,
    GLOBEX,
    PATIENCE,
    Hands,
    chroma_index,
    redis_mirror,
)
from tests.dryad.memory.mirrored import SOON, own_redis
from tests.dryad.memory.test_meaning import Letters
from tests.servers import Killable

__all__ = ["own_redis"]

KEY = bytes(32)

LONG = "Words. " * 141 + "They met Ada\nLovelace there. " + "More. " * 300
NAMED = {
    "text": Document("Notes", "ada   LOVELACE wrote the first program.", "a"),
    "across passages": Document("Long", LONG, "b"),
    "title": Document("Letters of Ada Lovelace", "Dear Sir.", "c"),
    "summary": Document("T", "She wrote.", "d", details={"summary": "Of Ada Lovelace."}),
    "somebody's": Document("Own", "Ada Lovelace again.", "e", agent="scout"),
}
"""Documents that name Ada Lovelace, by where they do."""


@pytest.fixture
def audit(ledger: Database, tmp_path: Path, clock: Hands) -> Audit:
    return Audit(ledger, KEY, tmp_path / "heads", clock)


@pytest.fixture
def policies(ledger: Database, audit: Audit, clock: Hands) -> MemoryPolicies:
    return MemoryPolicies(ledger, audit, clock=clock)


def erasure_of(
    ledger: Database, archivist: Archivist, librarian: Librarian, audit: Audit, clock: Hands
) -> Erasure:
    return Erasure(
        ledger,
        archivist,
        librarian,
        MemoryPolicies(ledger, audit, clock=clock),
        audit,
        backups=lambda: ["set_1 of yesterday: stays"],
        clock=clock,
    )


def test_a_subject_is_erased_everywhere_and_nothing_else_is(
    ledger: Database,
    audit: Audit,
    clock: Hands,
    redis_server: Killable,
    chroma_server: Killable,
):
    with (
        closing(redis_mirror(redis_server)) as redis,
        closing(chroma_index(chroma_server)) as index,
    ):
        recent = RecentCopy(ledger, redis, clock=clock)
        recent.keep()
        vectors = IndexCopy(ledger, index, Letters(), clock=clock)
        vectors.keep()
        archivist = Archivist(ledger, clock=clock, copy=recent)
        librarian = Librarian(ledger, clock=clock, embedder=Letters(), copy=vectors)
        ids = {why: librarian.shelve(ACME, one).id for why, one in NAMED.items()}
        ids["origin"] = librarian.shelve(ACME, Document("T", "Of somebody.", "letters")).id
        librarian.shelve(ACME, Document("T", "Of somebody.", "letters of Ada Lovelace"))
        withdrawn = librarian.shelve(ACME, Document("W", "Ada Lovelace, withdrawn.", "f")).id
        librarian.withdraw(ACME, withdrawn)
        kept = librarian.shelve(ACME, Document("K", "Adair Lovelaces is somebody else.", "g")).id
        theirs = librarian.shelve(GLOBEX, Document("K", "Ada Lovelace at Globex.", "g")).id
        archivist.remember(ACME, "scout", "note", {"who": ["Ada Lovelace"]})
        archivist.remember(ACME, "scout", "other", "nobody")
        archivist.remember(GLOBEX, "scout", "note", "Ada Lovelace")
        erasure = erasure_of(ledger, archivist, librarian, audit, clock)

        planned = erasure.forget(ACME, "Ada Lovelace", by="key:1", reason="asked", dry=True)
        assert librarian.read(ACME, ids["text"])
        done = erasure.forget(ACME, "ada lovelace", by="key:1", reason="asked")
        assert set(done.documents) == set(planned.documents) == {*ids.values(), withdrawn}
        assert done.values == ("scout/note",)
        assert done.backups == ("set_1 of yesterday: stays",)
        assert done.passages >= 7

        again = erasure.forget(ACME, "Ada Lovelace", by="key:1", reason="proof")
        assert (again.documents, again.values) == ((), ())
        for identity in ids.values():
            with pytest.raises(NotFound):
                librarian.read(ACME, identity)
        assert archivist.recall(ACME, "scout", "note") is None
        assert archivist.recall(ACME, "scout", "other") is not None
        assert archivist.recall(GLOBEX, "scout", "note") is not None
        assert librarian.read(GLOBEX, theirs)
        held = index.held(vectors.states.read().generation, ACME)
        assert set(held.values()) == {kept}
        assert index.held(vectors.states.read().generation, GLOBEX)
        index.drop_others(0)


def test_the_audit_tells_that_it_was_erased_and_not_whom(
    ledger: Database, audit: Audit, clock: Hands
):
    erasure = erasure_of(ledger, Archivist(ledger), Librarian(ledger), audit, clock)
    erasure.forget(ACME, "Ada Lovelace", by="key:1", reason="asked")
    (event,) = audit.export(ACME)
    assert (event["event"], event["actor"]) == ("memory_erased", "key:1")
    assert "lovelace" not in str(event).casefold()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_not_a_byte_of_it_is_left_in_the_files(
    ledger: Database, audit: Audit, clock: Hands, tmp_path: Path
):
    archivist, librarian = Archivist(ledger, clock=clock), Librarian(ledger, clock=clock)
    for number in range(50):
        librarian.shelve(ACME, Document("T", f"Zebediah Quux, case {number}.", f"o{number}"))
        archivist.remember(ACME, "scout", f"k{number}", "Zebediah Quux")
    erasure = erasure_of(ledger, archivist, librarian, audit, clock)
    files = [tmp_path / "dryad.db", tmp_path / "dryad.db-wal"]
    assert any(b"Zebediah" in file.read_bytes() for file in files if file.exists())
    erasure.forget(ACME, "Zebediah Quux", by="key:1", reason="asked")
    assert not any(b"Zebediah" in file.read_bytes() for file in files if file.exists())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_not_a_byte_of_a_value_is_left(ledger: Database, clock: Hands, tmp_path: Path):
    """Whether or not this build of SQLite overwrites by itself."""
    archivist = Archivist(ledger, clock=clock)
    with ledger.reading() as session:
        assert session.scalar(text("PRAGMA secure_delete")) == 1
    archivist.remember(ACME, "scout", "k", "Zebediah Quux")
    clock.move(days=2)
    archivist.purge()
    with ledger.engine.connect() as connection:
        connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"Zebediah" not in (tmp_path / "dryad.db").read_bytes()


def test_a_mirror_that_cannot_be_reached_is_said_to_hold_it(
    ledger: Database, audit: Audit, clock: Hands, own_redis: Killable
):
    address = f"redis://127.0.0.1:{own_redis.port}"
    with closing(RedisMirror(address, installation="test", timeout=PATIENCE)) as redis:
        recent = RecentCopy(ledger, redis, clock=clock, belief=SOON)
        recent.keep()
        archivist = Archivist(ledger, clock=clock, copy=recent)
        erasure = Erasure(
            ledger, archivist, Librarian(ledger), MemoryPolicies(ledger, audit), audit,
            mirrors=lambda: [recent.trouble()] if recent.trouble() else [],
        )  # fmt: skip
        archivist.remember(ACME, "scout", "k", "Ada Lovelace")
        time.sleep(1.2)  # now it is on the server's disk
        own_redis.kill()
        done = erasure.forget(ACME, "Ada Lovelace", by="key:1", reason="asked")
        assert (done.values, len(done.mirrors)) == (("scout/k",), 1)
        own_redis.start()
        assert "Ada" in raw_values(redis)
        recent.keep()
        assert "Ada" not in raw_values(redis)
        again = erasure.forget(ACME, "Ada Lovelace", by="key:1", reason="proof")
        assert (again.values, again.mirrors) == ((), ())


def raw_values(mirror: RedisMirror) -> str:
    """Everything a server holds, whoever believes it."""
    server = mirror._redis
    return str([server.hgetall(name) for name in server.keys("*:value:*")])


@pytest.mark.parametrize(("subject", "reason"), [("Al", "why"), ("x" * 201, "why"), ("Ada", " ")])
def test_a_vague_wish_is_refused(
    ledger: Database, audit: Audit, clock: Hands, subject: str, reason: str
):
    erasure = erasure_of(ledger, Archivist(ledger), Librarian(ledger), audit, clock)
    with pytest.raises(InvalidRequest):
        erasure.forget(ACME, subject, by="key:1", reason=reason)


def test_documents_go_when_their_retention_is_over(
    ledger: Database, audit: Audit, clock: Hands, policies: MemoryPolicies
):
    librarian = Librarian(ledger, clock=clock)
    erasure = erasure_of(ledger, Archivist(ledger), librarian, audit, clock)
    policies.set(ACME, {"retention_days": {"news": 1, "*": 30}}, by="key:1")
    for category in ("news", "law", "general"):
        librarian.shelve(ACME, Document(category, f"{category}.", category, category=category))
        librarian.shelve(GLOBEX, Document(category, f"{category}.", category, category=category))
    clock.move(days=1, seconds=1)
    assert erasure.expire(ACME) == 1
    assert {kept.category for kept in librarian.list(ACME)} == {"law", "general"}
    clock.move(days=30)
    assert erasure.expire(ACME) == 2
    assert erasure.expire(GLOBEX) == 0
    assert librarian.count(GLOBEX) == 3


def test_only_listed_sources_come_in(ledger: Database, policies: MemoryPolicies, clock: Hands):
    librarian = Librarian(ledger, clock=clock, policy=policies.current)
    policies.set(ACME, {"sources": ["handbook/", "https://docs.example.com"]}, by="key:1")
    for origin in ("handbook/a.md", "https://docs.example.com/a", "agent:scout", "task:t1"):
        librarian.shelve(ACME, Document("T", origin, origin))
    beside = "https://docs.example.com.evil.test/a"
    for origin in ("hand", "https://evil.test/handbook/", "/etc/passwd", beside):
        with pytest.raises(Refused, match="not among the sources"):
            librarian.shelve_all(
                ACME, [Document("T", "fine", "handbook/b"), Document("T", "x", origin)]
            )
    assert librarian.count(ACME) == 4
    librarian.shelve(GLOBEX, Document("T", "x", "/anywhere"))


@pytest.mark.parametrize(
    "document",
    [
        {"rules": [{"owners": ["self"], "rights": ["shred"]}]},
        {"rules": [{"rights": ["read"]}]},
        {"retention_days": {"*": 0}},
        {"surprise": 1},
    ],
)
def test_a_malformed_policy_is_refused(policies: MemoryPolicies, document: dict[str, object]):
    with pytest.raises(InvalidRequest, match="memory policy"):
        policies.set(ACME, document, by="key:1")
    assert policies.current(ACME).rules == ()


def test_relations_are_kept_within_a_tenant_and_go_with_their_documents(
    ledger: Database, clock: Hands
):
    librarian, relations = Librarian(ledger, clock=clock), Relations(ledger, clock=clock)
    a, b = (librarian.shelve(ACME, Document("T", text, text)).id for text in "ab")
    theirs = librarian.shelve(GLOBEX, Document("T", "a", "a")).id
    relations.relate(ACME, Relation(a, b, "contradicts", 0.4))
    relations.relate(ACME, Relation(a, b, "contradicts", 0.9))
    relations.relate(ACME, Relation(b, a, "supports", 1.0))
    assert len(relations.of(ACME, a)) == 2
    assert Relation(a, b, "contradicts", 0.9) in relations.of(ACME, b)
    assert relations.of(GLOBEX, a) == []
    for source, target, error in (
        (a, a, InvalidRequest),
        (a, theirs, NotFound),
        (theirs, a, NotFound),
    ):
        with pytest.raises(error):
            relations.relate(ACME, Relation(source, target, "related", 1.0))
    librarian.forget(ACME, b)
    assert relations.of(ACME, a) == []
