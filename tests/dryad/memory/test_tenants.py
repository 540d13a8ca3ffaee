"""Two hundred ways to reach another tenant's memory, with and without mirrors: none finds any."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from dryad.execution.coordinator import Asker, Coordinator, MemoryKind
from dryad.execution.memories import Document
from dryad.execution.memory_policy import MemoryPolicy, Rule
from dryad.execution.scribe import Scribe
from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.errors import DryadError
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import Archivist
from dryad.memory.consolidation import Consolidation
from dryad.memory.erasure import Erasure
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.policies import MemoryPolicies
from dryad.memory.relations import Relation, Relations
from tests.dryad.memory.conftest import ACME, GLOBEX, Hands, chroma_index, redis_mirror
from tests.dryad.memory.test_meaning import Letters

SECRET = "swordfish"
TEXTS = [f"The {SECRET} of vault {n} is {n}{n}{n} and must never be told." for n in range(6)]
KEYS = ["plain", "note/1", "a:b", "*", "%", "_", "acme:scout:plain"]
EVERYTHING = MemoryPolicy(
    rules=(Rule(agents=("*",), owners=("*",), rights=("read", "write", "delete")),)
)
"""The most a policy can allow still ends at the tenant's border."""

Probe = Callable[[], Any]


@dataclass
class House:
    """Every part of memory over one ledger."""

    archivist: Archivist
    librarian: Librarian
    coordinator: Coordinator
    scribe: Scribe
    relations: Relations
    erasure: Erasure
    consolidation: Consolidation
    documents: list[str]

    def state(self) -> object:
        """All that the robbed tenant has."""
        values = {
            agent: [(one.key, one.value) for one in self.archivist.list(ACME, agent)]
            for agent in ("scout", "acme")
        }
        return values, [self.librarian.read(ACME, one) for one in self.documents]


@pytest.fixture(params=["embedded", "mirrored"])
def house(
    request: pytest.FixtureRequest, ledger: Database, clock: Hands, tmp_path: Path
) -> Generator[House]:
    with ExitStack() as opened:
        recent, index = None, None
        if request.param == "mirrored":
            redis = opened.enter_context(
                closing(redis_mirror(request.getfixturevalue("redis_server")))
            )
            chroma = opened.enter_context(
                closing(chroma_index(request.getfixturevalue("chroma_server")))
            )
            recent = RecentCopy(ledger, redis, clock=clock)
            index = IndexCopy(ledger, chroma, Letters(), clock=clock)
            recent.keep()
            index.keep()
            opened.callback(chroma.drop_others, 0)
        archivist = Archivist(ledger, clock=clock, copy=recent)
        librarian = Librarian(ledger, clock=clock, embedder=Letters(), copy=index)
        coordinator = Coordinator(archivist, librarian, policy=lambda _tenant: EVERYTHING)
        audit = Audit(ledger, bytes(32), tmp_path / "heads", clock)
        policies = MemoryPolicies(ledger, audit, clock=clock)
        made = House(
            archivist,
            librarian,
            coordinator,
            Scribe(coordinator),
            Relations(ledger, clock=clock),
            Erasure(ledger, archivist, librarian, policies, audit, clock=clock),
            Consolidation(archivist, Scribe(coordinator)),
            [],
        )
        for number, text in enumerate(TEXTS):
            document = Document(
                f"Vault {number}", text, f"vault/{number}", compared=True,
                agent="scout" if number % 2 else "", category="vaults" if number % 3 else "general",
            )  # fmt: skip
            made.documents.append(librarian.shelve(ACME, document).id)
        for key in KEYS:
            archivist.remember(ACME, "scout", key, TEXTS[0], ttl=timedelta(hours=1))
        made.relations.relate(ACME, Relation(*made.documents[:2], "related", 1.0))
        yield made


def probes(house: House, thief: TenantId) -> Iterator[Probe]:
    """Yield every way to ask, as another tenant, for what is not its own."""
    archivist, librarian = house.archivist, house.librarian
    queries = [*TEXTS, SECRET, "vault", "sword fish", "The of is and", "0"]
    for query in queries:
        yield lambda query=query: librarian.search(thief, query, 100)
        yield lambda query=query: librarian.search(thief, query, 100, category="vaults")
        yield lambda query=query: librarian.search(thief, query, 100, agents={"scout", "", "acme"})
    for document in house.documents:
        yield lambda document=document: librarian.read(thief, document)
        yield lambda document=document: librarian.withdraw(thief, document)
        yield lambda document=document: librarian.forget(thief, document)
        yield lambda document=document: house.relations.of(thief, document)
        yield lambda document=document: house.relations.relate(
            thief, Relation(document, house.documents[0], "supports", 1.0)
        )
        yield lambda document=document: librarian.list(thief, after=document[:5])
    for key in KEYS:
        for agent in ("scout", "acme"):
            yield lambda key=key, agent=agent: archivist.recall(thief, agent, key)
            yield lambda key=key, agent=agent: archivist.list(thief, agent, key)
            yield lambda key=key, agent=agent: archivist.forget(thief, agent, key)
    for kind in get_args(MemoryKind):
        for owner in ("scout", "", None):
            asker = Asker(thief, "scout", owner=owner)
            for reference in (KEYS[0], house.documents[0], house.documents[1]):
                yield from _routed(house.coordinator, asker, kind, reference)
    yield lambda: archivist.expiring(thief, within=timedelta(days=7))
    yield lambda: house.consolidation.consolidate(thief, within=timedelta(days=7))
    yield lambda: house.erasure.forget(thief, SECRET, by="thief", reason="theft")
    yield lambda: house.scribe.note(Asker(thief, "scout"), TEXTS[1])[1]


def _routed(
    coordinator: Coordinator, asker: Asker, kind: MemoryKind, reference: str
) -> Iterator[Probe]:
    yield lambda: coordinator.retrieve(asker, kind, reference)
    yield lambda: coordinator.search(asker, kind, SECRET, limit=100)
    yield lambda: coordinator.delete(asker, kind, reference)
    yield lambda: coordinator.archive(asker, reference)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_way_leads_to_another_tenants_memory(house: House):
    before, made = house.state(), 0
    for probe in probes(house, GLOBEX):
        found = None
        with suppress(DryadError):
            found = probe()
        assert SECRET not in repr(found)
        assert not any(document in repr(found) for document in house.documents)
        made += 1
    assert made >= 200
    assert house.state() == before
    assert len(house.relations.of(ACME, house.documents[0])) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_same_ways_lead_to_ones_own(house: House):
    """Else the probes above would prove nothing."""
    found = 0
    for probe in probes(house, ACME):
        with suppress(DryadError):
            found += SECRET in repr(probe())
    assert found >= 30
