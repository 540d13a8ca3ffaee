"""By no address of the API does one tenant reach another's memory."""

from itertools import product

import httpx

from tests.dryad.api.conftest import House

SECRET = "swordfish"
DOCUMENT = {"title": "Vault", "text": f"The {SECRET} is 111.", "origin": "vault/1"}


def asked_for(document: str) -> list[dict[str, str]]:
    """What an agent of the same name may ask memory for."""
    return [
        {"operation": "retrieve", "reference": "vault"},
        {"operation": "archive", "reference": "vault"},
        {"operation": "delete", "reference": "vault"},
        {"operation": "update", "reference": "vault", "value": "Washed."},
        {"operation": "search", "query": SECRET},
        {"operation": "search", "query": SECRET, "kind": "working", "owner": ""},
        {"operation": "retrieve", "kind": "long_term", "reference": document},
        {"operation": "delete", "kind": "long_term", "reference": document},
    ]


def test_every_address_keeps_tenants_apart(house: House, acme: httpx.Client, globex: httpx.Client):
    shelved = acme.post("/api/v1/memory/documents", json=DOCUMENT).raise_for_status().json()["id"]
    by_scout = {"agent": "scout", "kind": "short_term"}
    value = {"operation": "store", "key": "vault", "value": DOCUMENT["text"], **by_scout}
    acme.post("/api/v1/memory/requests", json=value).raise_for_status()
    turn = {"speaker": "Ada", "text": DOCUMENT["text"], "at": "2026-05-04T12:00:00Z"}
    acme.put("/api/v1/memory/dialogues/vault", json={"turns": [turn]}).raise_for_status()
    paths = [
        ("GET", f"/api/v1/memory/documents/{shelved}", None),
        ("DELETE", f"/api/v1/memory/documents/{shelved}", None),
        ("GET", f"/api/v1/memory/documents/{shelved}/relations", None),
        ("POST", f"/api/v1/memory/documents/{shelved}/relations",
         {"target": shelved, "kind": "supports"}),
        ("GET", "/api/v1/memory/documents", None),
        ("GET", "/api/v1/memory/documents?category=general", None),
        ("GET", f"/api/v1/memory/search?q={SECRET}", None),
        ("GET", "/api/v1/memory/search?q=vault&limit=100", None),
        ("GET", "/api/v1/memory/policy", None),
        ("PUT", "/api/v1/memory/policy", {"sources": []}),
        ("POST", "/api/v1/memory/erasures", {"subject": SECRET, "reason": "theft"}),
        ("POST", "/api/v1/memory/documents", DOCUMENT | {"replace": True, "text": "Washed."}),
        ("GET", "/api/v1/memory/values", None),
        ("GET", "/api/v1/memory/values?agent=scout&pattern=v*", None),
        ("DELETE", "/api/v1/memory/values/scout/vault", None),
        ("GET", f"/api/v1/memory/dialogues?q={SECRET}", None),
        ("PUT", "/api/v1/memory/dialogues/vault", {"turns": [turn | {"text": "Washed."}]}),
        *(("POST", "/api/v1/memory/requests", by_scout | asked) for asked in asked_for(shelved)),
    ]  # fmt: skip
    with house.client(house.key("globex", "memory")) as reader:
        for client, (method, path, body), tenant in product(
            (globex, reader), paths, ("", "acme", "globex", "acme ", "ACME", "../acme")
        ):
            query = {"tenant": tenant} if tenant else {}
            url = httpx.URL(path).copy_merge_params(query)
            answer = client.request(method, url, json=body)
            assert answer.status_code < 500
            assert SECRET not in answer.text
    (kept_value,) = acme.get("/api/v1/memory/values").json()["items"]
    assert kept_value["value"] == DOCUMENT["text"]
    (window,) = acme.get(f"/api/v1/memory/dialogues?q={SECRET}").json()["items"]
    assert SECRET in window["text"]
    kept = acme.get(f"/api/v1/memory/documents/{shelved}").raise_for_status().json()
    assert kept["passages"][0][2] == DOCUMENT["text"]
    assert acme.get("/api/v1/memory/policy").json()["sources"] is None
