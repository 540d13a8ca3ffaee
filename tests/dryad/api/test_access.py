"""Who may do what: no key 401, not their tenant 404, not their scope 403."""

import httpx

from tests.dryad.api.conftest import House
from tests.dryad.api.test_tasks import is_problem

PUBLIC = {
    "/health", "/health/live", "/health/ready", "/api/v1/health/status", "/metrics",
}  # fmt: skip


def test_every_route_but_the_public_ones_wants_a_key(stranger: httpx.Client):
    paths = stranger.get("/openapi.json").json()["paths"]
    asked = 0
    for path, operations in paths.items():
        if path in PUBLIC:
            continue
        for method in operations:
            answer = stranger.request(method, path.replace("{case_id}", "1").replace("{", ""))
            if answer.status_code == 400:  # an address with its braces is no id
                continue
            is_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"
            asked += 1
    assert asked > 20


def test_a_wrong_revoked_or_odd_key_is_no_key(house: House):
    made = house.services.keys.create("acme", "soon gone", ["tasks:read"])
    house.services.keys.revoke(made.id)
    for text in (made.text, "dk_live_nothing", "a\u00e9", "x" * 5000, made.text + "0"):
        with house.client(None) as client:
            answer = client.get(
                "/api/v1/tasks", headers={"Authorization": f"Bearer {text}".encode()}
            )
            is_problem(answer, 401, "unauthenticated")


def test_a_key_opens_only_what_its_scopes_say(house: House):
    with house.client(house.key("acme", "tasks:read")) as reader:
        assert reader.get("/api/v1/tasks").status_code == 200
        for refused in (
            reader.post("/api/v1/tasks", json={"text": "a"}),
            reader.get("/api/v1/consultations"),
            reader.get("/api/v1/keys"),
            reader.post("/api/v1/tenants", json={"id": "new", "name": "New"}),
        ):
            is_problem(refused, 403, "refused")


def test_nobody_gives_away_or_takes_over_a_scope_they_lack(acme: httpx.Client, house: House):
    key = {"name": "up", "scopes": ["operator"]}
    is_problem(acme.post("/api/v1/keys", json=key), 403, "refused")
    strong = house.services.keys.create("acme", "strong", ["operator"])
    is_problem(acme.post(f"/api/v1/keys/{strong.id}/rotate"), 403, "refused")
    is_problem(acme.delete(f"/api/v1/keys/{strong.id}"), 403, "refused")
    assert house.services.keys.authenticate(strong.text).tenant == "acme"


def test_a_key_is_made_rotated_and_revoked_from_outside(acme: httpx.Client, house: House):
    made = acme.post("/api/v1/keys", json={"name": "ci", "scopes": ["tasks:read"]}).json()
    turned = acme.post(f"/api/v1/keys/{made['id']}/rotate", json={"overlap_seconds": 0}).json()
    with house.client(made["text"]) as old, house.client(turned["text"]) as new:
        assert old.get("/api/v1/tasks").status_code == 401
        assert new.get("/api/v1/tasks").status_code == 200
        assert acme.delete(f"/api/v1/keys/{turned['id']}").status_code == 204
        assert new.get("/api/v1/tasks").status_code == 401
    listed = acme.get("/api/v1/keys").text
    assert made["text"] not in listed
    assert made["id"] in listed


def test_keys_and_tenants_of_others_do_not_exist(
    globex: httpx.Client, operator: httpx.Client, house: House
):
    key = house.services.keys.create("acme", "theirs", ["tasks:read"])
    is_problem(globex.delete(f"/api/v1/keys/{key.id}"), 404, "not_found")
    is_problem(globex.post(f"/api/v1/keys/{key.id}/rotate"), 404, "not_found")
    is_problem(globex.get("/api/v1/tenants/acme"), 404, "not_found")
    assert [one["id"] for one in globex.get("/api/v1/tenants").json()["items"]] == ["globex"]
    everybody = [one["id"] for one in operator.get("/api/v1/tenants").json()["items"]]
    assert everybody == ["acme", "default", "globex"]
    made = operator.post("/api/v1/tenants", json={"id": "new", "name": "New"})
    assert (made.status_code, made.json()["status"]) == (201, "active")
    assert operator.get("/api/v1/agents", params={"tenant": "new"}).json()["items"]
    is_problem(operator.post("/api/v1/tenants", json={"id": "new", "name": "New"}), 409, "conflict")
