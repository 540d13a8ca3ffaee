"""A mirror that is lost, hangs or comes back with older data costs nobody a value or an answer."""

import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from dryad.execution.memories import Document
from dryad.foundation import logs
from dryad.foundation.database import Database
from dryad.foundation.errors import Unavailable
from dryad.memory.index.port import Vector
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy, _differ
from dryad.memory.recent.port import Change, Copy, Entry, Slot
from tests import servers
from tests.dryad.memory.conftest import ACME, Hands
from tests.dryad.memory.mirrored import (
    SLOT,
    SOON,
    Recent,
    Shelf,
    own_chroma,
    own_redis,
    recent,
    recent_of,
    shelf,
)
from tests.dryad.memory.test_meaning import Letters
from tests.dryad.memory.writer import told

__all__ = ["own_chroma", "own_redis", "recent", "shelf"]


def test_a_value_is_read_in_the_mirror_not_in_the_ledger(recent: Recent):
    recent.put("told")
    assert recent.mirrored is not None
    state = recent.copy.states.read()
    planted = Entry(10**6, b'{"value":"planted","provenance":"untrusted"}', recent.mirrored.expires)
    copy = Copy(state.generation, state.trusted)
    recent.mirror.publish(copy, [Change(SLOT, 10**6, planted)])
    assert recent.value() == "planted"


def test_an_outage_loses_nothing_and_heals(recent: Recent):
    recent.put(1)
    recent.server.kill()
    recent.put(2)
    assert recent.value() == 2
    assert recent.archivist.forget(ACME, "scout", "k")
    recent.put(3)
    with pytest.raises(Unavailable):
        recent.copy.keep()
    assert recent.copy.states.read().reason
    assert (recent.value(), "Redis" in recent.archivist.degraded) == (3, True)
    recent.server.start()
    recent.put(4)
    recent.copy.keep()
    assert recent.copy.states.waiting() == 0
    assert recent.mirrored is not None
    assert b"4" in recent.mirrored.body
    time.sleep(2 * SOON.total_seconds())
    assert (recent.value(), recent.archivist.degraded) == (4, "")


def test_a_server_that_comes_back_with_older_values_is_not_believed(
    recent: Recent, ledger: Database
):
    other = recent_of(ledger, recent.server)
    recent.put("old")
    assert other.value() == "old"
    time.sleep(1.2)  # now it is on the server's disk
    recent.server.kill()
    recent.put("new")
    recent.server.start()
    assert (other.value(), recent.value()) == ("new", "new")
    time.sleep(2 * SOON.total_seconds())
    assert (other.value(), recent.value()) == ("new", "new")
    recent.copy.keep()
    assert other.value() == "new"
    other.mirror.close()


def test_a_server_that_hangs_is_done_without(ledger: Database, recent: Recent):
    recent.put(1)
    recent.server.pause(on=True)
    recent.put(2)
    assert recent.value() == 2
    recent.server.pause(on=False)
    assert recent.value() == 2
    recent.copy.keep()
    assert recent.value() == 2
    assert recent.mirrored is not None


def test_what_a_writer_did_not_publish_is_never_hidden_by_what_it_wrote_over(recent: Recent):
    """A writer that dies between the ledger and the mirror leaves its fence behind."""
    recent.put("old")
    other = recent_of(recent.ledger, recent.server)
    other.copy._publish = lambda *_: None  # type: ignore[method-assign]  # it dies here
    other.put("new")
    assert recent.value() == "new"
    recent.copy.keep()
    assert recent.mirrored is None  # fenced, until the fence falls
    assert recent.copy.states.waiting() == 0
    assert recent.value() == "new"
    other.mirror.close()


def test_an_emptied_mirror_is_refilled(recent: Recent):
    for number in range(20):
        recent.put(number, f"k{number}")
    recent.copy.keep()
    recent.mirror._redis.flushall()
    assert recent.value("k7") == 7
    found = recent.copy.check()
    assert (found.checked, found.missing, found.extra, found.stale) == (20, 20, 0, 0)
    assert recent.copy.check().found == 0
    assert recent.value("k7") == 7


def test_a_check_finds_what_differs_and_mends_it(recent: Recent):
    for key in ("a", "b", "k"):
        recent.put(key, key)
    recent.copy.keep()
    state = recent.copy.states.read()
    copy = Copy(state.generation, state.trusted)
    assert recent.mirrored is not None
    wrong = recent.mirrored._replace(sequence=10**6)
    strange = Slot(ACME, "scout", "strange")
    recent.mirror.publish(copy, [Change(SLOT, 10**6, wrong), Change(strange, 1, wrong)])
    recent.mirror.publish(copy, [Change(SLOT._replace(key="a"), 10**6, None)])
    found = recent.copy.check()
    assert (found.missing, found.extra, found.stale) == (1, 1, 1)
    assert recent.copy.check().found == 0
    assert recent.value("strange") is None
    assert [recent.value(key) for key in ("a", "b", "k")] == ["a", "b", "k"]


def test_a_check_looks_at_values_and_when_they_expire(recent: Recent):
    for key in ("a", "b", "k"):
        recent.put(key, key)
    recent.copy.keep()
    redis, place = recent.mirror._redis, "dryad:test:*:value:acme:scout:"
    for key, field, value in (("a", "body", b'{"value":"planted"}'), ("b", "expires", 2**42)):
        (name,) = redis.keys(place + key)
        redis.hset(name, field, value)
    found = recent.copy.check()
    assert (found.checked, found.missing, found.extra, found.stale) == (3, 0, 0, 2)
    assert recent.copy.check().found == 0
    assert [recent.value(key) for key in ("a", "b", "k")] == ["a", "b", "k"]


def test_an_expired_value_is_not_read_from_a_mirror_whose_clock_is_late(
    ledger: Database, own_redis: servers.Killable, clock: Hands
):
    recent = recent_of(ledger, own_redis, clock)
    recent.copy.keep()
    recent.archivist.remember(ACME, "scout", "k", 1, ttl=timedelta(minutes=1))
    assert recent.value() == 1
    clock.move(minutes=1)
    assert recent.mirrored is not None
    assert recent.value() is None
    recent.mirror.close()


def test_a_search_goes_on_without_the_server_and_says_so(shelf: Shelf, tmp_path: Path):
    logs.configure(tmp_path / "logs", component="test")
    log = tmp_path / "logs" / "gremlins_app.log"
    first = shelf.librarian.shelve(ACME, Document("", "aaa", "a")).id
    assert (shelf.found("aa"), shelf.librarian.degraded) == (first, "")
    shelf.server.kill()
    assert shelf.found("aa") == first
    assert "Chroma" in shelf.librarian.degraded
    second = shelf.librarian.shelve(ACME, Document("", "bbb", "b")).id
    assert shelf.found("bb") == second
    shelf.librarian.forget(ACME, first)
    assert shelf.found("ab") == second
    for _ in range(2):  # the keeper looks again and again, and alerts once
        with pytest.raises(Unavailable):
            shelf.copy.keep()
    assert log.read_text().count('"mirror_lost"') == 1
    shelf.server.start()
    time.sleep(2 * SOON.total_seconds())
    shelf.copy.keep()
    assert (shelf.found("bb"), shelf.librarian.degraded) == (second, "")
    state = shelf.copy.states.read()
    assert set(shelf.index.held(state.generation, ACME).values()) == {second}
    assert '"mirror_found"' in log.read_text()


def test_what_the_server_cannot_filter_is_read_in_the_ledger_and_not_kept(shelf: Shelf):
    for number in range(3):
        shelf.librarian.shelve(ACME, Document("", told(number), str(number), details={"n": number}))
    shelf.server.kill()
    found = shelf.librarian.search(ACME, told(2), 10, details={"n": 2})
    assert [hit.origin for hit in found] == ["2"]
    assert found[0].parts["meaning"] > 0
    assert shelf.librarian.degraded == ""
    assert not shelf.librarian._shelves._shelves, "no vectors stay in memory"


def test_a_server_without_its_data_gets_another_copy(shelf: Shelf):
    ids = [shelf.librarian.shelve(ACME, Document("", told(n), str(n))).id for n in range(30)]
    before = shelf.copy.states.read()
    shelf.index.drop_others(0)
    assert shelf.found(told(3)) == ids[3]
    assert shelf.librarian.degraded
    time.sleep(2 * SOON.total_seconds())
    shelf.copy.keep()
    after = shelf.copy.states.read()
    assert after.generation > before.generation
    assert set(shelf.index.held(after.generation, ACME).values()) == set(ids)
    assert (shelf.found(told(3)), shelf.librarian.degraded) == (ids[3], "")


def test_a_copy_of_another_model_is_never_searched(ledger: Database, shelf: Shelf):
    shelf.librarian.shelve(ACME, Document("", "aaa", "a"))
    copy = IndexCopy(ledger, shelf.index, Letters("letters-2"), pause=SOON)
    newer = Librarian(ledger, embedder=Letters("letters-2"), copy=copy)
    assert newer.search(ACME, "aa") == []
    assert newer.degraded
    copy.keep()
    assert newer.embed_pending(ACME) == 1
    assert newer.search(ACME, "aa")[0].origin == "a"
    assert newer.degraded == ""


def test_a_check_of_the_index_finds_what_differs_and_mends_it(shelf: Shelf):
    ids = [shelf.librarian.shelve(ACME, Document("", told(n), str(n))).id for n in range(10)]
    generation = shelf.copy.states.read().generation
    held = shelf.index.held(generation, ACME)
    shelf.index.discard(generation, ACME, [n for n, document in held.items() if document == ids[2]])
    shelf.librarian._copy = None  # a writer of an older installation takes a document away
    shelf.librarian.withdraw(ACME, ids[5])
    found = shelf.copy.check()
    assert (found.checked, found.missing, found.extra, found.stale) == (9, 1, 1, 0)
    assert shelf.copy.check().found == 0


def test_a_check_of_the_index_looks_at_directions_and_labels(shelf: Shelf):
    for number in range(6):
        shelf.librarian.shelve(ACME, Document("", told(number), str(number)))
    generation = shelf.copy.states.read().generation
    rows = sorted(shelf.index.rows(generation, ACME, range(10)), key=lambda row: row.number)
    of_another_model = rows[0]._replace(direction=rows[3].direction)
    of_another_agent = rows[1]._replace(agent="scout")
    of_another_category = rows[2]._replace(category="law")
    never_shelved = rows[4]._replace(number=10_000)
    wrong = [of_another_model, of_another_agent, of_another_category, never_shelved]
    shelf.index.upsert(generation, ACME, wrong)
    found = shelf.copy.check()
    assert (found.checked, found.missing, found.extra, found.stale) == (6, 0, 1, 3)
    mended = sorted(shelf.index.rows(generation, ACME, range(10)), key=lambda row: row.number)
    assert [row[:-1] for row in mended] == [row[:-1] for row in rows]
    assert all(np.allclose(a.direction, b.direction) for a, b in zip(mended, rows, strict=True))
    assert shelf.copy.check().found == 0


@pytest.mark.parametrize(("held", "differs"), [((3, 4), False), ((4, 3), True), ((0, 0), True)])
def test_a_row_that_points_elsewhere_or_nowhere_differs(held: tuple[int, int], differs: bool):
    wanted = Vector(1, "d", "c", "a", np.array([0.6, 0.8], np.float32))
    assert _differ(wanted, wanted._replace(direction=np.array(held, np.float32))) is differs
