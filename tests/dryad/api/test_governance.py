"""Policies, stops, audit, memory and logs from the outside: each tenant its own."""

import json

import httpx

from tests.dryad.api.conftest import House
from tests.dryad.api.test_tasks import is_problem


def test_a_policy_counts_from_its_version_on(
    acme: httpx.Client, globex: httpx.Client, house: House
):
    before = acme.get("/api/v1/policies/current").json()
    assert before["version"] == 0
    wanted = {"approval_tier": "read", "task_force_above": 0.5, "escalate_above": 0.8}
    made = acme.put("/api/v1/policies/current", json=wanted).json()
    assert (made["version"], made["approval_tier"]) == (1, "read")
    assert house.services.policies.current("acme").approval_tier == "read"
    assert globex.get("/api/v1/policies/current").json()["version"] == 0
    for wrong in ({"approval_tier": "never"}, {"nonsense": 1}, {"escalate_above": 0.1}):
        is_problem(acme.put("/api/v1/policies/current", json=wrong), 400, "invalid_request")
    is_problem(acme.get("/api/v1/policies/7"), 404, "not_found")
    assert [one["version"] for one in acme.get("/api/v1/policies").json()["items"]] == [1, 0]


def test_a_policy_is_tried_before_it_is_set(acme: httpx.Client):
    rules = [{"tools": ["pay"], "need": "two", "role": "treasurer"}]
    pay, other = {"tier": "external", "tool": "pay"}, {"tier": "read", "tool": "look"}

    def tried(act: dict[str, str], **more: object) -> dict[str, object]:
        return acme.post("/api/v1/policies/test", json=act | more).raise_for_status().json()

    wanted = tried(pay, document={"rules": rules})
    assert (wanted["need"], wanted["approvers"], wanted["role"]) == ("two", 2, "treasurer")
    assert tried(other, document={"rules": rules})["need"] == "refuse"
    assert tried(pay)["need"] == "one"
    acme.put("/api/v1/policies/current", json={"rules": rules}).raise_for_status()
    assert tried(pay)["need"] == "two"


def test_a_stop_holds_for_its_tenant_and_only_operators_stop_everybody(
    acme: httpx.Client, globex: httpx.Client, operator: httpx.Client
):
    agent = {"scope": "agent:analyst", "reason": "it loops"}
    assert acme.post("/api/v1/stops", json=agent).status_code == 201
    assert globex.get("/api/v1/stops").json()["items"] == []
    is_problem(globex.post("/api/v1/stops/lift", json=agent), 404, "not_found")
    looping = {"text": "Think.", "agent": "analyst"}
    is_problem(acme.post("/api/v1/tasks", json=looping), 403, "refused")
    assert globex.post("/api/v1/tasks", json=looping).status_code in {201, 404}
    everybody = {"scope": "global", "reason": "maintenance"}
    is_problem(acme.post("/api/v1/stops", json=everybody), 403, "refused")
    assert operator.post("/api/v1/stops", json=everybody).status_code == 201
    assert [one["scope"] for one in acme.get("/api/v1/stops").json()["items"]] == [
        "global",
        "agent:analyst",
    ]
    is_problem(acme.post("/api/v1/stops/lift", json=everybody), 403, "refused")
    is_problem(acme.post("/api/v1/stops/lift", json=agent), 403, "refused")  # not typed again
    typed = agent | {"confirm": "agent:analyst"}
    lifted = acme.post("/api/v1/stops/lift", json=typed).json()
    assert lifted["lifted_by"].startswith("key:")
    assert lifted["lifted_by"].endswith("(unverified)")


def test_the_record_is_exported_and_verified(acme: httpx.Client, globex: httpx.Client):
    task = acme.post("/api/v1/tasks", json={"text": "a"}).json()["id"]
    acme.post(f"/api/v1/tasks/{task}/cancel")
    rows = [json.loads(line) for line in acme.get("/api/v1/audit").text.splitlines()]
    assert [row["event"] for row in rows] == ["task_submitted", "task_finished"]
    assert globex.get("/api/v1/audit").text == ""
    assert acme.get("/api/v1/audit/verification").json()["intact"] is True


def test_memory_is_kept_found_and_forgotten_by_its_tenant(acme: httpx.Client, globex: httpx.Client):
    body = {"title": "Retention", "text": "Invoices are kept for eleven years.", "origin": "a.md"}
    made = acme.post("/api/v1/memory/documents", json=body)
    assert made.status_code == 201
    assert acme.post("/api/v1/memory/documents", json=body).status_code == 200
    document = made.json()["id"]
    found = acme.get("/api/v1/memory/search", params={"q": "invoices kept"}).json()["items"]
    assert [one["document"] for one in found] == [document]
    assert found[0]["provenance"] == "untrusted"
    for answer in (
        globex.get(f"/api/v1/memory/documents/{document}"),
        globex.delete(f"/api/v1/memory/documents/{document}"),
    ):
        is_problem(answer, 404, "not_found")
    assert globex.get("/api/v1/memory/search", params={"q": "invoices"}).json()["items"] == []
    assert acme.delete(f"/api/v1/memory/documents/{document}").status_code == 204
    assert acme.get("/api/v1/memory/documents").json()["items"] == []


def test_only_administrators_call_a_document_trusted(house: House):
    body = {"title": "a", "text": "b", "origin": "c", "provenance": "trusted"}
    with house.client(house.key("acme", "memory")) as keeper:
        is_problem(keeper.post("/api/v1/memory/documents", json=body), 403, "refused")
        assert keeper.get("/api/v1/memory/documents").json()["items"] == []


def test_a_tenant_reads_its_own_lines_only(
    acme: httpx.Client, globex: httpx.Client, operator: httpx.Client
):
    acme.get("/api/v1/tasks/task_0")
    globex.get("/api/v1/tasks/task_1")
    page = acme.get("/api/v1/logs", params={"status": [404, 500]}).json()
    assert [line["path"] for line in page["entries"]] == ["/api/v1/tasks/task_0"]
    assert page["hosts"]
    is_problem(acme.get("/api/v1/logs", params={"everywhere": True}), 403, "refused")
    everywhere = operator.get("/api/v1/logs", params={"everywhere": True, "status": 404}).json()
    assert len(everywhere["entries"]) == 2
    counts = acme.get("/api/v1/logs/by/status").json()["values"]
    assert counts == {"404": 1, "200": 1, "403": 1}
    is_problem(acme.get("/api/v1/logs", params={"limit": 1001}), 400, "invalid_request")


def test_a_budget_is_set_and_shown_to_its_tenant_alone(
    acme: httpx.Client, globex: httpx.Client, house: House
):
    (tenant,) = acme.get("/api/v1/budgets").json()["items"]
    assert (tenant["account"], tenant["lines"]["tokens"]["cap"]) == ("", None)
    body = {"account": "project:web", "caps": {"tokens": 1000, "cost_usd": 0.25}}
    made = acme.put("/api/v1/budgets", json=body).raise_for_status().json()
    assert made["account"] == "project:web"
    budgets = house.services.budgets
    held = budgets.reserve(["acme", "acme/project:web"], {"tokens": 400})
    budgets.settle(held.id, {"tokens": 300})
    (shown,) = acme.get("/api/v1/budgets", params={"begins": "project:"}).json()["items"]
    assert shown["lines"]["tokens"] == {"cap": 1000, "spent": 300, "reserved": 0, "left": 700}
    assert [one["account"] for one in globex.get("/api/v1/budgets").json()["items"]] == [""]
    for wrong in ({"coffee": 1}, {"tokens": -1}, {}):
        is_problem(acme.put("/api/v1/budgets", json={"caps": wrong}), 400, "invalid_request")
    for name in ("../globex", "project:", "agent:x", "globex/task:1"):
        bad = {"account": name, "caps": {"tokens": 1}}
        is_problem(acme.put("/api/v1/budgets", json=bad), 400, "invalid_request")
    with house.client(house.key("acme", "tasks:read")) as reader:
        is_problem(reader.put("/api/v1/budgets", json=body), 403, "refused")
