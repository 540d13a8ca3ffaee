"""Tools from outside: registered, imported, discovered and classified by those who may."""

import json
import sys
from pathlib import Path

import httpx

from dryad.foundation.ids import TenantId
from tests.dryad.api.conftest import House
from tests.dryad.api.test_tasks import is_problem

DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "https://pets.example.org"}],
    "paths": {
        "/pets": {"get": {"operationId": "listPets", "responses": {}}},
        "/photos": {"post": {"requestBody": {"content": {"image/png": {}}}, "responses": {}}},
    },
}
SERVER = Path(__file__).parents[1] / "execution" / "mcp_server.py"


def test_a_document_becomes_tools_of_its_tenant(acme: httpx.Client, globex: httpx.Client):
    body = {"document": DOCUMENT, "headers": {"X-Key": "planted"}}
    made = acme.post("/api/v1/tools/import", json=body)
    assert made.status_code == 201, made.text
    assert [tool["name"] for tool in made.json()["tools"]] == ["list-pets"]
    assert list(made.json()["left_out"]) == ["post-photos"]
    assert "planted" not in made.text + acme.get("/api/v1/tools").text
    is_problem(acme.post("/api/v1/tools/import", json=body), 409, "conflict")
    is_problem(globex.get("/api/v1/tools/list-pets"), 404, "not_found")
    is_problem(acme.post("/api/v1/tools/import", json={"document": {}}), 400, "invalid_request")
    bad = {"config": {"method": "TRACE"}}
    is_problem(acme.put("/api/v1/tools/list-pets/1/config", json=bad), 400, "invalid_request")


def test_a_discovered_tool_waits_for_a_person(acme: httpx.Client, house: House):
    arguments = [str(SERVER), str(house.settings.home / "notes"), "stdio", "Add."]
    server = {"command": sys.executable, "args": arguments, "outside": True, "tenants": ["acme"]}
    servers = {"shop": server}
    (house.settings.home / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    found = acme.post("/api/v1/tools/discover", json={"server": "shop"}).json()["items"]
    (add,) = [tool for tool in found if tool["name"] == "shop-add"]
    assert (add["kind"], add["status"]) == ("mcp", "inactive")
    place = f"/api/v1/tools/shop-add/{add['version']}"
    is_problem(acme.put(f"{place}/status", json={"status": "active"}), 403, "refused")
    is_problem(acme.put(f"{place}/tier", json={"tier": "harmless"}), 400, "invalid_request")
    classified = acme.put(f"{place}/tier", json={"tier": "read"}).json()
    assert (classified["status"], classified["tier"]) == ("active", "read")
    again = acme.post("/api/v1/tools/discover", json={"server": "shop"}).json()["items"]
    assert [tool["status"] for tool in again if tool["name"] == "shop-add"] == ["active"]
    own = {"name": "mine", "version": "1", "description": "x", "tier": "read", "kind": "mcp"}
    is_problem(acme.post("/api/v1/tools", json=own), 400, "invalid_request")
    is_problem(acme.post("/api/v1/tools/discover", json={"server": "other"}), 404, "not_found")
    events = [json.loads(line) for line in acme.get("/api/v1/audit").text.splitlines()]
    assert [e["subject"] for e in events if e["event"] == "tool_classified"] == [
        f"tool:shop-add {add['version']}"
    ]


def test_only_who_administers_may_bring_tools(house: House):
    before = house.services.tools.list(TenantId("acme"))
    with house.client(house.key("acme", "tasks:read", "tasks:write")) as reader:
        for path, body in {
            "import": {"document": DOCUMENT},
            "discover": {"server": "shop"},
        }.items():
            is_problem(reader.post(f"/api/v1/tools/{path}", json=body), 403, "refused")
        put = reader.put("/api/v1/tools/notify/1/tier", json={"tier": "read"})
        is_problem(put, 403, "refused")
    assert house.services.tools.list(TenantId("acme")) == before
