"""Tools are called from outside by the same rules, and every call is remembered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from dryad.foundation.database.models import GrantRow
from dryad.foundation.ids import TenantId
from tests.dryad.api.conftest import House
from tests.dryad.api.test_tasks import is_problem
from tests.web import accept, serve

SUM = {"agent": "analyst", "arguments": {"expression": "6 * 7"}}
EXECUTE = "/api/v1/tools/calculate/execute"


@pytest.fixture(autouse=True)
def catalogue(house: House) -> None:
    for tenant in ("acme", "globex"):
        house.services.provide_tenant(TenantId(tenant))


def test_a_tool_is_called_and_the_call_is_remembered(acme: httpx.Client, globex: httpx.Client):
    made = acme.post(EXECUTE, json={**SUM, "key": "k-1"}).raise_for_status().json()
    assert (made["outcome"], made["value"], made["version"]) == ("done", {"value": 42}, "1")
    is_problem(acme.post(EXECUTE, json={**SUM, "key": "k-1"}), 409, "conflict")
    acme.post(EXECUTE, json=SUM).raise_for_status()
    second, first = acme.get("/api/v1/tools/calculate/history").json()["items"]
    assert {k: first[k] for k in ("id", "digest", "agent", "outcome")} == {
        k: made[k] for k in ("id", "digest", "agent", "outcome")
    }
    assert first["digest"] == second["digest"] != ""
    assert first["seconds"] >= 0
    (session,) = acme.get("/api/v1/tools/sessions").json()["items"]
    assert (session["calls"], session["done"], session["agent"]) == (2, 2, "analyst")
    assert globex.get("/api/v1/tools/history").json()["items"] == []
    page = acme.get("/api/v1/tools/history", params={"limit": 1}).json()
    rest = acme.get("/api/v1/tools/history", params={"before": page["next"]}).json()
    assert [call["id"] for call in page["items"] + rest["items"]] == [second["id"], first["id"]]
    events = acme.get("/api/v1/audit").text
    assert events.count('"tool_called"') == 2


def test_a_call_that_fails_says_why(acme: httpx.Client):
    body = {"agent": "analyst", "arguments": {"sql": "SELECT 1", "tables": {"t": "none.csv"}}}
    answer = acme.post("/api/v1/tools/query_table/execute", json=body)
    is_problem(answer, 404, "not_found")
    (call,) = acme.get("/api/v1/tools/history", params={"outcome": "refused"}).json()["items"]
    assert "none.csv" in call["reason"]


def test_the_registry_is_kept_by_its_own_rules(acme: httpx.Client, globex: httpx.Client):
    body: dict[str, Any] = {
        "name": "word-count", "version": "1.0.0", "description": "Count", "tier": "read",
        "config": {"code": "print(1)"}, "category": "analysis",
    }  # fmt: skip
    made = acme.post("/api/v1/tools", json=body)
    assert (made.status_code, made.json()["category"]) == (201, "analysis")
    is_problem(acme.post("/api/v1/tools", json=body), 409, "conflict")
    is_problem(acme.post("/api/v1/tools", json={**body, "category": "x"}), 400, "invalid_request")
    second = acme.post("/api/v1/tools", json={**body, "version": "2", "category": None})
    assert second.json()["category"] == "code_execution"
    place = "/api/v1/tools/word-count/1.0.0"
    assert acme.get(place).json()["version"] == "1.0.0"
    is_problem(globex.get(place), 404, "not_found")
    is_problem(globex.put(place, json={"description": "Mine"}), 404, "not_found")
    is_problem(globex.delete(place), 404, "not_found")
    changed = acme.put(place, json={"description": "Count words", "status": "maintenance"}).json()
    assert (changed["description"], changed["status"], changed["category"]) == (
        "Count words", "maintenance", "analysis",
    )  # fmt: skip
    for frozen in ({"name": "x"}, {"version": "2"}, {"input_schema": {}}, {"tier": "read"}):
        is_problem(acme.put(place, json=frozen), 400, "invalid_request")
    document = acme.get(f"{place}/interface").json()
    assert {"openapi", "info", "paths"} <= set(document)
    assert acme.delete(place).status_code == 204
    is_problem(acme.get(place), 404, "not_found")
    is_problem(acme.delete(place), 404, "not_found")
    is_problem(acme.post("/api/v1/tools", json=body), 409, "conflict")
    is_problem(acme.delete("/api/v1/tools/notify/1"), 409, "conflict")


def test_the_registry_is_read_in_pages(acme: httpx.Client):
    whole = acme.get("/api/v1/tools").json()
    assert (whole["total"], whole["next"]) == (len(whole["items"]), None)
    found: list[str] = []
    offset: str | None = "0"
    while offset is not None:
        page = acme.get("/api/v1/tools", params={"limit": 4, "offset": offset}).json()
        assert page["total"] == whole["total"]
        found += [tool["name"] for tool in page["items"]]
        offset = page["next"]
    assert found == [tool["name"] for tool in whole["items"]]
    files = acme.get("/api/v1/tools", params={"category": "file_system"}).json()["items"]
    assert [tool["name"] for tool in files] == ["list_files", "read_file", "write_file"]


# -- what may not be called is not called


def ungranted(acme: httpx.Client, house: House) -> None:
    """Nobody was granted it."""


def expired(acme: httpx.Client, house: House) -> None:
    granted(acme)
    with house.services.database.transaction() as session:
        row = session.scalars(select(GrantRow).where(GrantRow.tool == "ping")).one()
        row.expires = datetime.now(UTC) - timedelta(seconds=1)


def deprecated(acme: httpx.Client, house: House) -> None:
    granted(acme)
    acme.put("/api/v1/tools/ping/1", json={"status": "deprecated"}).raise_for_status()


def deleted(acme: httpx.Client, house: House) -> None:
    granted(acme)
    acme.delete("/api/v1/tools/ping/1").raise_for_status()


def stopped(acme: httpx.Client, house: House) -> None:
    granted(acme)
    house.services.stops.set("acme", "tool:ping", reason="it misbehaves", by="test")


def of_an_inactive_agent(acme: httpx.Client, house: House) -> None:
    granted(acme)
    house.services.agents.set_status("acme", "analyst", "maintenance")  # pyright: ignore[reportArgumentType]


def needing_a_person(acme: httpx.Client, house: House) -> None:
    granted(acme)
    acme.put("/api/v1/policies/current", json={"approval_tier": "read"}).raise_for_status()


def granted(acme: httpx.Client) -> None:
    body = {"principal": "analyst"}
    acme.post("/api/v1/tools/ping/grants", json=body).raise_for_status()


REASONS = [
    ungranted, expired, deprecated, deleted, stopped, of_an_inactive_agent, needing_a_person
]  # fmt: skip


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.__name__)
def test_what_may_not_be_called_is_refused_here_too(
    acme: httpx.Client, globex: httpx.Client, house: House, reason: Any
):
    with serve(accept()) as server:
        config = {
            "method": "GET", "base": server.url, "path": "/ping", "places": {},
            "private_hosts": [server.url.removeprefix("http://")],
        }  # fmt: skip
        body = {
            "name": "ping", "version": "1", "description": "Ping", "tier": "read", "kind": "http",
            "config": config,
        }  # fmt: skip
        acme.post("/api/v1/tools", json=body).raise_for_status()
        reason(acme, house)
        call = {"agent": "analyst", "arguments": {}}
        is_problem(acme.post("/api/v1/tools/ping/execute", json=call), 403, "refused")
        is_problem(globex.post("/api/v1/tools/ping/execute", json=call), 403, "refused")
        is_problem(acme.post("/api/v1/tools/nothing/execute", json=call), 403, "refused")
        assert server.received == []
        outcomes = {call["outcome"] for call in acme.get("/api/v1/tools/history").json()["items"]}
    assert outcomes == {"refused"}


def test_only_who_administers_may_call_directly(house: House):
    with house.client(house.key("acme", "tasks:read", "tasks:write")) as reader:
        is_problem(reader.post(EXECUTE, json=SUM), 403, "refused")
        for method, place in (("PUT", "notify/1"), ("DELETE", "notify/1")):
            answer = reader.request(method, f"/api/v1/tools/{place}", json={})
            is_problem(answer, 403, "refused")
    acme = TenantId("acme")
    assert house.services.tools.get(acme, "notify", "1").status == "active"
    assert house.services.tool_history.executions(acme) == []


def test_an_agent_that_is_not_there_calls_nothing(acme: httpx.Client):
    is_problem(acme.post(EXECUTE, json={**SUM, "agent": "nobody"}), 404, "not_found")
    assert acme.get("/api/v1/tools/history").json()["items"] == []


def test_what_a_stateful_tool_keeps_is_shown_and_sanitised(
    acme: httpx.Client, globex: httpx.Client, house: House
):
    code = (
        "import json, os\nos.makedirs('state', exist_ok=True)\nold = os.listdir('state')\n"
        "open('state/seen', 'w').write('x')\nprint(json.dumps({'seen': len(old)}))\n"
    )
    body = {
        "name": "seen", "version": "1", "description": "See", "tier": "reversible",
        "config": {"code": code, "stateful": True},
    }  # fmt: skip
    acme.post("/api/v1/tools", json=body).raise_for_status()
    call = {"agent": "analyst", "arguments": {}}
    granted = {"principal": "analyst"}
    acme.post("/api/v1/tools/seen/grants", json=granted).raise_for_status()
    is_problem(acme.post("/api/v1/tools/seen/execute", json=call), 403, "refused")
    granted |= {"conditions": {"stateful": True}}
    acme.post("/api/v1/tools/seen/grants", json=granted).raise_for_status()
    seen = [acme.post("/api/v1/tools/seen/execute", json=call).json()["value"] for _ in "ab"]
    assert seen == [{"seen": 0}, {"seen": 1}]
    (volume,) = acme.get("/api/v1/tools/volumes").json()["items"]
    assert (volume["status"], volume["size_bytes"], volume["tool"]) == ("active", 1, "seen")
    place = f"/api/v1/tools/volumes/{volume['session']}"
    is_problem(globex.delete(place), 404, "not_found")
    assert acme.delete(place).json()["status"] == "sanitised"
    assert acme.post("/api/v1/tools/seen/execute", json=call).json()["value"] == {"seen": 0}
    (session,) = acme.get("/api/v1/tools/sessions").json()["items"]
    assert (session["volume"], session["volume_bytes"]) == ("active", 1)
    assert '"volume_sanitised"' in acme.get("/api/v1/audit").text
