"""An agent is found by what it can do and ranked by what it did."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dryad.execution.agents import Agents, AgentSpec, reliability
from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.errors import Conflict, InvalidRequest, LimitExceeded, NotFound
from dryad.foundation.ids import TenantId

ACME, GLOBEX = TenantId("acme"), TenantId("globex")

ADA = AgentSpec(
    id="ada",
    name="Ada",
    role="analyst",
    goal="Count.",
    instructions="Count well.",
    capabilities={"compute": 0.9, "report": 0.5},
)


@pytest.fixture
def agents(database: Database) -> Agents:
    with database.transaction() as session:
        for tenant in (ACME, GLOBEX):
            created = datetime(2026, 1, 1, tzinfo=UTC)
            session.add(TenantRow(id=tenant, name=tenant, status="active", created=created))
    return Agents(database)


def ids(agents: Agents, *capabilities: str) -> list[str]:
    return [agent.id for agent in agents.discover(ACME, capabilities)]


def test_agents_belong_to_a_tenant_and_ids_may_repeat_between_tenants(agents: Agents):
    agents.register(ACME, ADA)
    agents.register(GLOBEX, replace(ADA, goal="Another."))
    assert agents.get(ACME, "ada").goal == "Count."
    with pytest.raises(Conflict, match="ada"):
        agents.register(ACME, ADA)
    with pytest.raises(NotFound, match="no agent bob"):
        agents.get(ACME, "bob")
    with pytest.raises(NotFound, match="no tenant"):
        agents.register(TenantId("nobody"), ADA)
    assert [agent.id for agent in agents.list(ACME)] == ["ada"]


def test_only_active_agents_with_every_capability_are_found(agents: Agents):
    agents.register(ACME, ADA)
    agents.register(ACME, replace(ADA, id="bob", capabilities={"compute": 1.0}))
    assert ids(agents, "compute") == ["bob", "ada"]
    assert ids(agents, "compute", "report") == ["ada"]
    assert ids(agents, "fly") == []
    agents.set_status(ACME, "bob", "maintenance")
    assert ids(agents, "compute") == ["ada"]
    assert agents.discover(GLOBEX, ["compute"]) == []
    with pytest.raises(InvalidRequest):
        agents.set_status(ACME, "bob", "asleep")  # pyright: ignore[reportArgumentType]


def test_a_good_and_a_bad_agent_get_different_rank_and_health(agents: Agents):
    for name in ("bad", "good", "new"):
        agents.register(ACME, replace(ADA, id=name))
    for _ in range(5):
        agents.finished(ACME, "good", success=True, tokens=10)
        agents.finished(ACME, "bad", success=False, tokens=1)
    assert ids(agents, "compute") == ["good", "new", "bad"]
    health = {agent.id: agent.health for agent in agents.list(ACME)}
    assert health == {"good": "healthy", "bad": "unhealthy", "new": "unmeasured"}
    assert agents.get(ACME, "good").tokens == 50


def test_ties_are_ordered_by_id(agents: Agents):
    for name in ("c", "a", "b"):
        agents.register(ACME, replace(ADA, id=name))
    assert ids(agents, "compute") == ["a", "b", "c"]


def test_counters_lose_nothing_between_threads(agents: Agents):
    agents.register(ACME, ADA)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: agents.finished(ACME, "ada", success=n % 2 == 0, tokens=n), range(100)
            )
        )
    ada = agents.get(ACME, "ada")
    assert (ada.runs, ada.successes, ada.tokens) == (100, 50, 4950)
    with pytest.raises(NotFound):
        agents.finished(ACME, "bob", success=True, tokens=0)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "Ada Lovelace"},
        {"role": ""},
        {"capabilities": {"compute": 1.5}},
        {"capabilities": {"No Name": 0.5}},
        {"model": {"key": "secret"}},
    ],
)
def test_an_agent_that_cannot_be_is_not_registered(agents: Agents, change: dict):
    with pytest.raises(InvalidRequest):
        agents.register(ACME, replace(ADA, **change))
    assert agents.list(ACME) == []


def test_a_tenant_has_room_for_so_many(database: Database, agents: Agents):
    small = Agents(database, limit=1)
    small.register(ACME, ADA)
    with pytest.raises(LimitExceeded, match="1 agents"):
        small.register(ACME, replace(ADA, id="bob"))
    small.provision(ACME, [ADA])
    assert [agent.id for agent in small.list(ACME)] == ["ada"]


def test_reliability_rises_with_success_and_with_evidence():
    assert reliability(0, 5) < reliability(0, 0) < reliability(1, 1) < reliability(100, 100) < 1
    assert reliability(80, 100) > reliability(8, 10) > reliability(4, 10)
