"""Agents through the API: what may change of one changes, the rest is refused."""

from typing import Any

import httpx
import pytest

from dryad.foundation.ids import TenantId
from tests.dryad.api.conftest import House
from tests.dryad.api.test_tasks import is_problem

AUDITOR = {
    "id": "auditor",
    "name": "Auditor",
    "role": "reviewer",
    "instructions": "Read, compute, cite.",
    "capabilities": {"analysis": 0.9},
}
PLACE = "/api/v1/agents/auditor"


@pytest.fixture(autouse=True)
def auditor(acme: httpx.Client) -> None:
    acme.post("/api/v1/agents", json=AUDITOR).raise_for_status()


def test_goal_capabilities_and_status_change_and_are_recorded(acme: httpx.Client):
    change = {"goal": "Find it", "capabilities": {"audit": 0.7}, "status": "maintenance"}
    changed = acme.patch(PLACE, json=change).raise_for_status().json()
    assert {name: changed[name] for name in change} == change
    assert changed == acme.get(PLACE).json()
    assert acme.patch(PLACE, json={"status": "active"}).json()["goal"] == "Find it"
    found = acme.get("/api/v1/agents/discovery", params={"capability": "audit"}).json()["items"]
    assert [agent["id"] for agent in found] == ["auditor"]
    assert acme.get("/api/v1/audit").text.count('"agent_changed"') == 2


@pytest.mark.parametrize(
    "change",
    [
        *({name: "x"} for name in ("id", "name", "role", "instructions", "version")),
        {"model": {"provider": "openai"}},
        {"capabilities": {"audit": 1.1}},
        {"status": "asleep"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_an_agent_is_never_changes(acme: httpx.Client, change: dict[str, Any]):
    before = acme.get(PLACE).json()
    is_problem(acme.patch(PLACE, json=change), 400, "invalid_request")
    assert acme.get(PLACE).json() == before


def test_an_agent_is_changed_by_its_own_tenant_alone(house: House, globex: httpx.Client):
    is_problem(globex.patch(PLACE, json={"goal": "Mine"}), 404, "not_found")
    assert house.services.agents.get(TenantId("acme"), "auditor").goal == ""
