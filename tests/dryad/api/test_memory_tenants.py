"""By no address of the API does one tenant reach another's memory."""

from itertools import product

import httpx

from tests.dryad.api.conftest import House

SECRET = "swordfish"
DOCUMENT = {"title": "Vault", "text": f"The {SECRET} is 111.", "origin": "vault/1"}


def test_every_address_keeps_tenants_apart(house: House, acme: httpx.Client, globex: httpx.Client):
    shelved = acme.post("/api/v1/memory/documents", json=DOCUMENT).raise_for_status().json()["id"]
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
    kept = acme.get(f"/api/v1/memory/documents/{shelved}").raise_for_status().json()
    assert kept["passages"][0][2] == DOCUMENT["text"]
    assert acme.get("/api/v1/memory/policy").json()["sources"] is None
