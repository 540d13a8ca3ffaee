"""Memory is routed by kind, belongs to its owner, and fails aloud."""

from typing import Any

import pytest

from dryad.execution.coordinator import Asker, Coordinator, MemoryKind
from dryad.execution.memories import Document
from dryad.execution.memory_policy import MemoryPolicy, Rule
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.errors import InvalidRequest, NotFound, Refused, Unavailable
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import Archivist
from dryad.memory.librarian import Librarian

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
TIDY = MemoryPolicy(rules=(Rule(owners=("self",), rights=("delete",)),))
"""Agents may delete what is their own."""

SCOUT, OTHER = Asker(ACME, "scout"), Asker(ACME, "other")


@pytest.fixture
def archivist(database: Database) -> Archivist:
    return Archivist(database)


@pytest.fixture
def librarian(database: Database) -> Librarian:
    with database.transaction() as session:
        for tenant in (ACME, GLOBEX):
            session.add(TenantRow(id=tenant, name=tenant, status="active", created=utc_now()))
    return Librarian(database)


@pytest.fixture
def coordinator(archivist: Archivist, librarian: Librarian) -> Coordinator:
    return Coordinator(archivist, librarian, policy=lambda _tenant: TIDY)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("short_term", (1, 0)),
        ("working", (1, 1)),
        ("long_term", (0, 1)),
        ("episodic", (0, 1)),
        ("semantic", (0, 1)),
    ],
)
def test_each_kind_goes_to_its_keeper(
    coordinator: Coordinator,
    archivist: Archivist,
    librarian: Librarian,
    kind: MemoryKind,
    kept: tuple[int, int],
):
    stored = coordinator.store(SCOUT, kind, "The lamp is green.", key="lamp")
    assert (len(archivist.list(ACME, "scout")), librarian.count(ACME)) == kept
    reference = stored.key or stored.id
    assert reference is not None
    assert coordinator.retrieve(SCOUT, kind, reference).value == "The lamp is green."
    assert {hit.value for hit in coordinator.search(SCOUT, kind, "green lamp")} == {
        "The lamp is green."
    }


@pytest.mark.parametrize("value", ["  indented\n\n\n    code ", {"a": [1, None]}, 7])
def test_what_is_stored_is_retrieved_exactly(coordinator: Coordinator, value: Any):
    stored = coordinator.store(SCOUT, "long_term", value)
    assert stored.id is not None
    assert coordinator.retrieve(SCOUT, "long_term", stored.id).value == value


def test_episodes_and_facts_are_searched_apart(coordinator: Coordinator):
    coordinator.store(SCOUT, "episodic", "The lamp turned red today.")
    coordinator.store(SCOUT, "semantic", "A red lamp means stop.")
    for kind, count in (("episodic", 1), ("semantic", 1), ("long_term", 2)):
        assert len(coordinator.search(SCOUT, kind, "red lamp")) == count


def test_archiving_moves_a_value(coordinator: Coordinator, archivist: Archivist):
    coordinator.store(SCOUT, "short_term", {"lamp": "green"}, key="lamp", provenance="trusted")
    stored = coordinator.archive(SCOUT, "lamp")
    assert archivist.recall(ACME, "scout", "lamp") is None
    assert stored.id is not None
    kept = coordinator.retrieve(SCOUT, "long_term", stored.id)
    assert (kept.value, kept.provenance) == ({"lamp": "green"}, "trusted")


def test_updating_leaves_only_the_new(coordinator: Coordinator):
    old = coordinator.store(SCOUT, "semantic", "The lamp is green.").id
    assert old is not None
    new = coordinator.update(SCOUT, "semantic", old, "The lamp is blue.").id
    assert [hit.reference for hit in coordinator.search(SCOUT, "semantic", "lamp")] == [new]
    assert coordinator.update(SCOUT, "semantic", str(new), "The lamp is blue.").id == new
    coordinator.store(SCOUT, "short_term", 1, key="k")
    coordinator.update(SCOUT, "short_term", "k", 2)
    assert coordinator.retrieve(SCOUT, "short_term", "k").value == 2


def test_what_is_deleted_is_gone(coordinator: Coordinator):
    identity = coordinator.store(SCOUT, "long_term", "The lamp is green.").id
    coordinator.store(SCOUT, "short_term", "green", key="lamp")
    assert identity is not None
    coordinator.delete(SCOUT, "long_term", identity)
    coordinator.delete(SCOUT, "short_term", "lamp")
    assert coordinator.search(SCOUT, "working", "green") == []
    for kind, reference in (("long_term", identity), ("short_term", "lamp")):
        for operation in (coordinator.retrieve, coordinator.delete):
            with pytest.raises(NotFound):
                operation(SCOUT, kind, reference)


def test_memory_belongs_to_its_owner(coordinator: Coordinator):
    stored = coordinator.store(SCOUT, "working", "The lamp is green.", key="lamp")
    assert stored.id is not None
    assert coordinator.search(OTHER, "working", "lamp") == []
    with pytest.raises(NotFound):
        coordinator.retrieve(OTHER, "short_term", "lamp")
    intruder = Asker(ACME, "other", owner="scout")
    for attempt in (
        lambda: coordinator.retrieve(OTHER, "long_term", str(stored.id)),
        lambda: coordinator.delete(OTHER, "long_term", str(stored.id)),
        lambda: coordinator.update(OTHER, "long_term", str(stored.id), "x"),
        lambda: coordinator.retrieve(intruder, "short_term", "lamp"),
        lambda: coordinator.search(intruder, "working", "lamp"),
        lambda: coordinator.store(intruder, "working", "mine", key="lamp"),
        lambda: coordinator.archive(intruder, "lamp"),
        lambda: coordinator.delete(intruder, "working", "lamp"),
    ):
        with pytest.raises(Refused, match="scout"):
            attempt()
    assert coordinator.retrieve(SCOUT, "working", "lamp").value == "The lamp is green."


def test_what_belongs_to_the_tenant_is_read_by_all_and_changed_by_no_agent(
    coordinator: Coordinator, librarian: Librarian
):
    handbook = librarian.shelve(ACME, Document("Handbook", "Lamps are green.", "h.md")).id
    assert coordinator.search(SCOUT, "long_term", "lamp")[0].reference == handbook
    assert coordinator.retrieve(SCOUT, "long_term", handbook).value == "Lamps are green."
    with pytest.raises(Refused):
        coordinator.delete(SCOUT, "long_term", handbook)
    for asker in (Asker(GLOBEX, "scout"), Asker(GLOBEX, "scout", owner="")):
        assert coordinator.search(asker, "long_term", "lamp") == []
        with pytest.raises(NotFound):
            coordinator.retrieve(asker, "long_term", handbook)


def test_a_refused_value_leaves_nothing(coordinator: Coordinator, archivist: Archivist):
    with pytest.raises(InvalidRequest):
        coordinator.store(SCOUT, "working", "   ", key="blank")
    with pytest.raises(InvalidRequest):
        coordinator.store(SCOUT, "short_term", "no key")
    assert archivist.list(ACME, "scout") == []


def test_a_keeper_that_is_down_is_said_to_be_down(tmp_path: Any):
    broken = Database(f"sqlite:///{tmp_path / 'empty.db'}")  # no table was ever made
    coordinator = Coordinator(Archivist(broken), Librarian(broken))
    for attempt in (
        lambda: coordinator.store(SCOUT, "short_term", 1, key="k"),
        lambda: coordinator.retrieve(SCOUT, "short_term", "k"),
        lambda: coordinator.search(SCOUT, "long_term", "k"),
    ):
        with pytest.raises(Unavailable):
            attempt()
    broken.close()


def test_nothing_is_deleted_unless_a_rule_says_so(archivist: Archivist, librarian: Librarian):
    plain = Coordinator(archivist, librarian)
    stored = plain.store(SCOUT, "working", "The lamp is green.", key="lamp")
    assert stored.id is not None
    for kind, reference in (("short_term", "lamp"), ("long_term", stored.id)):
        with pytest.raises(Refused, match="may not delete"):
            plain.delete(SCOUT, kind, reference)
        assert plain.retrieve(SCOUT, kind, reference).value == "The lamp is green."
    plain.archive(SCOUT, "lamp")  # moving is no deletion


def test_a_rule_lets_exactly_those_do_exactly_that(archivist: Archivist, librarian: Librarian):
    rules = (
        Rule(agents=("other",), owners=("scout",), rights=("read",)),
        Rule(agents=("scout",), owners=("tenant",), rights=("write", "delete")),
    )
    coordinator = Coordinator(
        archivist,
        librarian,
        policy=lambda tenant: MemoryPolicy(rules=rules) if tenant == ACME else MemoryPolicy(),
    )
    coordinator.store(SCOUT, "short_term", "mine", key="k")
    reading = Asker(ACME, "other", owner="scout")
    assert coordinator.retrieve(reading, "short_term", "k").value == "mine"
    for forbidden in (reading, Asker(ACME, "third", owner="scout")):
        with pytest.raises(Refused):
            coordinator.store(forbidden, "short_term", "theirs", key="k")
    shared = coordinator.store(Asker(ACME, "scout", owner=""), "long_term", "For all of us.")
    assert shared.id is not None
    with pytest.raises(Refused):
        coordinator.delete(OTHER, "long_term", shared.id)
    coordinator.delete(SCOUT, "long_term", shared.id)
    with pytest.raises(Refused):
        coordinator.store(Asker(GLOBEX, "scout", owner=""), "long_term", "Not here.")


def test_an_agent_finds_only_what_it_may_read(archivist: Archivist, librarian: Librarian):
    rules = (Rule(agents=("curator",), owners=("*",), rights=("read",)),)
    some = Rule(agents=("reader",), owners=("scout", "self"), rights=("read",))
    policies = {ACME: MemoryPolicy(rules=(*rules, some))}
    for policy, other, reader, curator in (
        (MemoryPolicy(), {"other", ""}, {""}, {""}),
        (policies[ACME], {"other", ""}, {"scout", ""}, {"scout", "other", ""}),
    ):
        coordinator = Coordinator(archivist, librarian, policy=lambda _tenant, now=policy: now)
        for owner in ("scout", "other", ""):
            librarian.shelve(ACME, Document("T", f"The lamp of {owner}.", owner, agent=owner))
        for agent, owners in (("other", other), ("reader", reader), ("curator", curator)):
            assert {hit.agent for hit in coordinator.find(ACME, agent, "lamp", 50)} == owners
        assert coordinator.find(GLOBEX, "scout", "lamp") == []


def test_what_is_said_for_good_outlives_the_key_it_was_said_under(coordinator: Coordinator):
    coordinator.store(SCOUT, "working", "The lamp is green.", key="lamp")
    stored = coordinator.store(SCOUT, "long_term", "The lamp is green.")
    assert stored.duplicate_of == stored.id
    coordinator.store(SCOUT, "working", "The lamp is blue.", key="lamp")
    found = coordinator.search(SCOUT, "long_term", "lamp", limit=9)
    assert {hit.value for hit in found} == {"The lamp is green.", "The lamp is blue."}
    coordinator.delete(SCOUT, "working", "lamp")
    found = coordinator.search(SCOUT, "working", "lamp", limit=9)
    assert [(hit.value, hit.reference) for hit in found] == [("The lamp is green.", stored.id)]
    with pytest.raises(NotFound):
        coordinator.delete(SCOUT, "working", "lamp")
