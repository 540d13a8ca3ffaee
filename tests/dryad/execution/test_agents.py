"""An agent is found by what it can do and ranked by what it did."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.execution.agents import Agents, AgentSpec, rank, reliability
from dryad.foundation.audit import Audit
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


def test_goal_capabilities_and_status_change_and_the_rest_does_not(
    database: Database, tmp_path: Path
):
    audit = Audit(database, b"k" * 32, tmp_path / "heads")
    agents = Agents(database, audit=audit)
    with database.transaction() as session:
        for tenant in (ACME, GLOBEX):
            created = datetime(2026, 1, 1, tzinfo=UTC)
            session.add(TenantRow(id=tenant, name=tenant, status="active", created=created))
    agents.register(ACME, ADA)
    agents.finished(ACME, "ada", success=True, tokens=7)
    changed = agents.change(ACME, "ada", goal="Weigh.", capabilities={"weigh": 1.0}, by="eve")
    assert changed == agents.get(ACME, "ada")
    kept = {f: getattr(changed, f) for f in ("name", "role", "instructions", "model", "tokens")}
    assert kept == {**{f: getattr(ADA, f) for f in kept if f != "tokens"}, "tokens": 7}
    assert (changed.goal, changed.capabilities, changed.status) == (
        "Weigh.",
        {"weigh": 1},
        "active",
    )
    assert (ids(agents, "weigh"), ids(agents, "compute")) == (["ada"], [])
    assert agents.change(ACME, "ada") == changed
    for wrong in ({"capabilities": {"weigh": 2}}, {"capabilities": {"No": 1}}, {"status": "dead"}):
        with pytest.raises(InvalidRequest):
            agents.change(ACME, "ada", **wrong)
    with pytest.raises(NotFound):
        agents.change(GLOBEX, "ada", goal="Mine.")
    told = [row for row in audit.export(ACME) if row["event"] == "agent_changed"]
    assert [(row["actor"], row["subject"], row["data"]["goal"]) for row in told] == [
        ("eve", "agent:ada", "Weigh.")
    ]


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


def test_who_is_busy_or_dear_comes_later(agents: Agents):
    for name in ("busy", "dear", "plain"):
        agents.register(ACME, replace(ADA, id=name))
        for _ in range(4):
            cost = 0.5 if name == "dear" else 0.01
            agents.finished(ACME, name, success=True, tokens=10, cost_usd=cost, seconds=2)
    found = agents.discover(ACME, ["compute"], load={"busy": 9})
    assert [agent.id for agent in found] == ["plain", "dear", "busy"]
    assert ids(agents, "compute") == ["busy", "plain", "dear"]
    dear = agents.get(ACME, "dear")
    assert (dear.mean_cost_usd, dear.mean_seconds) == (0.5, 2)


def test_what_is_welcome_beside_decides_among_equals_and_excludes_nobody(agents: Agents):
    for name, more in (("a", {}), ("b", {"write": 0.4}), ("c", {"write": 0.9})):
        capabilities = {"compute": 0.9, **more}
        agents.register(ACME, replace(ADA, id=name, capabilities=capabilities))
    found = agents.discover(ACME, ["compute"], optional=["write", "fly"])
    assert [agent.id for agent in found] == ["c", "b", "a"]


PARTS = {
    "proficiency": st.floats(0.01, 1),
    "successes": st.integers(0, 500),
    "failures": st.integers(0, 500),
    "cost_usd": st.floats(0, 100),
    "load": st.integers(0, 100),
    "bonus": st.floats(0, 1),
}


def ranked(parts: dict[str, Any]) -> float:
    runs = parts["successes"] + parts["failures"]
    rest = {name: value for name, value in parts.items() if name not in {"failures", "proficiency"}}
    return rank(parts["proficiency"], runs=runs, **rest)


@given(st.fixed_dictionaries(PARTS), st.integers(1, 9))
def test_rank_never_saturates(parts: dict[str, Any], more: int):
    here = ranked(parts)
    assert 0 <= here < 1
    better = {
        "proficiency": parts["proficiency"] * 1.01,
        "failures": parts["failures"] - 1,
        "cost_usd": parts["cost_usd"] * 0.9 - 0.01,
        "load": parts["load"] - more,
        "bonus": parts["bonus"] * 1.1 + 0.01,
    }
    runs = parts["successes"] + parts["failures"]
    for name, value in better.items():
        if value < 0 or (name == "cost_usd" and not runs) or (name == "failures" and runs == 1):
            continue
        if name == "failures" and parts["cost_usd"]:
            continue  # the same cost over fewer tasks makes each of them dearer
        assert ranked(parts | {name: value}) > here, name


def test_a_thousand_agents_are_no_hardship(agents: Agents):
    """How long it takes is measured by `benchmarks/discovery.py`; here, that it is right."""
    many = [
        replace(ADA, id=f"a{n:03}", capabilities={"compute": (n % 97 + 1) / 100})
        for n in range(1000)
    ]
    agents.provision(ACME, many)
    found = agents.discover(ACME, ["compute"], limit=3)
    assert [agent.id for agent in found] == ["a096", "a193", "a290"]
