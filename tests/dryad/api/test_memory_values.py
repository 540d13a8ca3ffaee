"""Through the API: memory as agents ask for it, and short-term memory as a tenant sees it."""

import json
from datetime import timedelta
from typing import Any

import httpx

from dryad.foundation.clock import utc_now
from dryad.foundation.database.models import RecentRow
from dryad.foundation.ids import TenantId
from tests.dryad.api.conftest import House

REQUESTS, VALUES = "/api/v1/memory/requests", "/api/v1/memory/values"
ACME = TenantId("acme")


def ask(client: httpx.Client, operation: str, kind: str = "short_term", **more: Any) -> Any:
    """Ask in the name of `scout`."""
    body = {"operation": operation, "kind": kind, "agent": "scout", **more}
    return client.post(REQUESTS, json=body).raise_for_status().json()


def keys(client: httpx.Client, **query: Any) -> list[str]:
    found = client.get(VALUES, params=query).raise_for_status().json()["items"]
    return [f"{one['agent']}/{one['key']}" for one in found]


def test_each_kind_of_memory_is_stored_found_and_read(acme: httpx.Client):
    for number, kind in enumerate(("short_term", "working", "long_term", "episodic", "semantic")):
        value = {"lamp": f"The lamp {number} is green."}
        stored = ask(acme, "store", kind, key=f"lamp-{number}", value=value)["stored"]
        assert bool(stored["key"]) == (kind in {"short_term", "working"})
        assert bool(stored["id"]) == (kind != "short_term")
        reference = stored["key"] or stored["id"]
        (read,) = ask(acme, "retrieve", kind, reference=reference)["found"]
        assert (read["value"], read["provenance"]) == (value, "untrusted")
        found = ask(acme, "search", kind, query=f"lamp {number}")
        assert value["lamp"] in str(found["found"][0])
        assert found["degraded"] == ""
    cited = ask(acme, "search", "semantic", query="lamp 4")["found"][0]["passage"]
    assert {"document", "section", "start", "stop", "parts", "provenance"} <= set(cited)


def test_what_is_updated_archived_and_deleted_is_so_everywhere(acme: httpx.Client):
    acme.put(
        "/api/v1/memory/policy", json={"rules": [{"owners": ["self"], "rights": ["delete"]}]}
    ).raise_for_status()
    ask(acme, "store", "working", key="lamp", value="The lamp is green.", ttl_seconds=60)
    ask(acme, "update", "working", reference="lamp", value="The lamp is blue.")
    found = ask(acme, "search", "working", query="lamp", limit=9)["found"]
    assert {one["value"] for one in found} == {"The lamp is blue."}
    assert {one["source"] for one in found} == {"archivist", "librarian"}
    ask(acme, "delete", "working", reference="lamp")
    assert ask(acme, "search", "working", query="lamp", limit=9)["found"] == []
    ask(acme, "store", key="note", value="The door is shut.")
    moved = ask(acme, "archive", reference="note")["stored"]
    assert keys(acme) == []
    ask(acme, "delete", "long_term", reference=moved["id"])
    gone = {"operation": "retrieve", "kind": "long_term", "agent": "scout"}
    assert acme.post(REQUESTS, json=gone | {"reference": moved["id"]}).status_code == 404


def test_policies_and_labels_hold(acme: httpx.Client, house: House):
    ask(acme, "store", key="k", value="mine")
    base = {"kind": "short_term", "agent": "other", "owner": "scout"}
    for body in (
        {"operation": "retrieve", "reference": "k"},
        {"operation": "search", "query": "mine"},
        {"operation": "update", "reference": "k", "value": "theirs"},
        {"operation": "archive", "reference": "k"},
        {"operation": "delete", "reference": "k"},
    ):
        assert acme.post(REQUESTS, json=base | body).status_code == 403
    own = base | {"owner": None, "agent": "scout", "operation": "delete", "reference": "k"}
    assert acme.post(REQUESTS, json=own).status_code == 403, "without a rule nothing is deleted"
    trusted = {"operation": "store", "kind": "short_term", "agent": "scout", "key": "t", "value": 1}
    with house.client(house.key("acme", "memory")) as caller:
        assert caller.post(REQUESTS, json=trusted | {"provenance": "trusted"}).status_code == 403
    assert keys(acme) == ["scout/k"]


WRONG: tuple[dict[str, Any], ...] = (
    {"operation": "steal"},
    {"kind": "eternal"},
    {"key": None},
    {"ttl_seconds": 7 * 86_400 + 1},
    {"ttl_seconds": 0},
    {"value": "nul\0byte"},
    {"value": {"a": "\ud800"}},
    {"value": [[[]] * 2] * 2, "surprise": 1},
    {"key": "k" * 201},
    {"agent": "Scout"},
    {"value": "x" * 1_000_001},
)


def test_what_is_no_request_is_refused_and_leaves_nothing(acme: httpx.Client):
    fine = {"operation": "store", "kind": "short_term", "agent": "scout", "key": "k", "value": 1}
    for wrong in WRONG:
        answer = acme.post(REQUESTS, content=json.dumps(fine | wrong))
        assert answer.status_code in {400, 403, 413, 422}, wrong
        assert answer.json()["next_step"]
    assert keys(acme) == []


def test_a_tenant_sees_what_its_agents_remember_and_makes_them_forget(
    acme: httpx.Client, globex: httpx.Client
):
    for agent, key in (("scout", "a/1"), ("scout", "b"), ("other", "a?2")):
        body = {"operation": "store", "kind": "short_term", "agent": agent, "key": key, "value": 7}
        acme.post(REQUESTS, json=body).raise_for_status()
    assert keys(acme) == ["other/a?2", "scout/a/1", "scout/b"]
    assert keys(acme, agent="scout", pattern="a*") == ["scout/a/1"]
    assert keys(acme, limit=1) == ["other/a?2"]
    (shown,) = acme.get(VALUES, params={"pattern": "b"}).json()["items"]
    assert shown["provenance"] == "untrusted"
    assert shown["expires"]
    assert keys(globex) == []
    for path in ("scout/b", "other/a%3F2", "scout/a/1"):
        assert globex.delete(f"{VALUES}/{path}").status_code == 404
        assert acme.delete(f"{VALUES}/{path}").status_code == 204
        assert acme.delete(f"{VALUES}/{path}").status_code == 404
    assert keys(acme) == []


def test_a_search_of_many_values_misses_none(house: House, acme: httpx.Client):
    with house.services.database.transaction() as session:
        for number in range(1_050):
            value = {"value": f"Lamp {number} is off.", "provenance": "untrusted"}
            kept = {"expires": utc_now() + timedelta(hours=1), "updated": utc_now(), "sequence": 0}
            place = {"tenant": ACME, "agent": "scout", "key": f"k{number:04}"}
            session.add(RecentRow(value=value, **kept, **place))
    house.services.archivist.remember(ACME, "scout", "z", "The DOOR is shut.")
    (found,) = ask(acme, "search", query="door shut")["found"]
    assert found["reference"] == "z"
