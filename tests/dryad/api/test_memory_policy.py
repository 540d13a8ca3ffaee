"""Through the API: the policy for memory, relations, and a subject that is forgotten."""

import httpx


def shelved(client: httpx.Client, text: str, origin: str = "a.md") -> str:
    body = {"title": "T", "text": text, "origin": origin}
    return client.post("/api/v1/memory/documents", json=body).raise_for_status().json()["id"]


def test_a_policy_is_set_shown_and_obeyed(acme: httpx.Client, globex: httpx.Client):
    assert acme.get("/api/v1/memory/policy").json() == {
        "rules": [], "sources": None, "retention_days": {},
    }  # fmt: skip
    put = acme.put("/api/v1/memory/policy", json={"sources": ["handbook/"]})
    assert put.raise_for_status().json() == {"version": 1}
    refused = acme.post(
        "/api/v1/memory/documents", json={"title": "T", "text": "x", "origin": "elsewhere"}
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "refused")
    shelved(acme, "Fine.", "handbook/a.md")
    shelved(globex, "Fine.", "elsewhere")
    assert acme.put("/api/v1/memory/policy", json={"rules": [{}]}).status_code == 400


def test_a_subject_is_forgotten_and_reported(acme: httpx.Client, globex: httpx.Client):
    mine = shelved(acme, "Ada Lovelace wrote the first program.")
    theirs = shelved(globex, "Ada Lovelace wrote the first program.")
    asked = {"subject": "Ada Lovelace", "reason": "She asked."}
    planned = acme.post("/api/v1/memory/erasures", json=asked | {"dry_run": True}).json()
    assert (planned["dry"], planned["documents"]) == (True, [mine])
    assert acme.get(f"/api/v1/memory/documents/{mine}").status_code == 200
    done = acme.post("/api/v1/memory/erasures", json=asked).raise_for_status().json()
    assert (done["dry"], done["documents"], done["passages"]) == (False, [mine], 1)
    assert acme.get(f"/api/v1/memory/documents/{mine}").status_code == 404
    assert globex.get(f"/api/v1/memory/documents/{theirs}").status_code == 200


def test_documents_are_related(acme: httpx.Client):
    a, b = shelved(acme, "One."), shelved(acme, "Two.", "b.md")
    path = f"/api/v1/memory/documents/{a}/relations"
    made = acme.post(path, json={"target": b, "kind": "supports", "confidence": 0.5})
    assert made.status_code == 201
    assert acme.get(path).json()["items"] == [
        {"source": a, "target": b, "kind": "supports", "confidence": 0.5}
    ]
