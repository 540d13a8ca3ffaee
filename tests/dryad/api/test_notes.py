"""Through the API: notes with an answer each, and dialogues found by what stands beside a turn."""

import httpx

from tests.dryad.api.conftest import House

REPORT = "The turbine shows cracks in two of its blades, which grow under load every single day."


def test_notes_are_taken_each_for_itself(acme: httpx.Client, globex: httpx.Client):
    texts = [REPORT, REPORT.replace("two", "three"), "bin\u0001ary", REPORT]
    body = {"agent": "scout", "notes": [{"text": text} for text in texts]}
    refused = acme.post("/api/v1/memory/notes", json=body)
    assert refused.status_code == 400
    body["notes"] = [{"text": text} for text in (texts[0], texts[1], " ", texts[3])]
    first, near, empty, again = (
        acme.post("/api/v1/memory/notes", json=body).raise_for_status().json()["items"]
    )
    assert first["summary"]
    assert (first["provenance"], first["language"]) == ("untrusted", "en")
    assert near["near"] == first["document"] != near["document"]
    assert "empty" in empty["error"]
    assert again["duplicate_of"] == first["document"]
    assert globex.get("/api/v1/memory/search?q=turbine").json()["items"] == []


def test_a_dialogue_is_kept_and_found(acme: httpx.Client, globex: httpx.Client):
    said = ["Its blades have cracks.", "Since when?", "We found them yesterday.", "Soup?"]
    turns = [
        {"speaker": "Ada", "text": text, "at": f"2026-05-04T12:0{n}:00Z"}
        for n, text in enumerate(said)
    ]
    path = "/api/v1/memory/dialogues"
    kept = acme.put(f"{path}/turbine", json={"turns": turns})
    assert kept.raise_for_status().json() == {"windows": 2}
    (found, *_) = acme.get(path, params={"q": "cracks since 2026-05-03"}).json()["items"]
    assert "yesterday (2026-05-03)" in found["text"]
    assert globex.get(path, params={"q": "cracks"}).json()["items"] == []
    naive = [turns[0] | {"at": "2026-05-04T12:00:00"}]
    assert acme.put(f"{path}/turbine", json={"turns": naive}).status_code == 400


def test_a_document_that_is_called_a_dialogue_is_none(acme: httpx.Client):
    for origin in ("log/x", "log", "dialogue:"):
        document = {"title": "T", "text": f"Soup of {origin}.", "origin": origin}
        shelved = acme.post("/api/v1/memory/documents", json=document | {"category": "dialogue"})
        shelved.raise_for_status()
    found = acme.get("/api/v1/memory/dialogues", params={"q": "soup"})
    assert found.raise_for_status().json()["items"] == []


def test_nobody_passes_for_dryad_itself(house: House):
    with house.client(house.key("acme", "memory")) as caller:
        for origin in ("agent:scout", "task:t1", "dialogue:d/0"):
            document = {"title": "T", "text": origin, "origin": origin}
            assert caller.post("/api/v1/memory/documents", json=document).status_code == 403
            noted = {"agent": "scout", "notes": [{"text": origin, "origin": origin}]}
            assert caller.post("/api/v1/memory/notes", json=noted).status_code == 403
        assert caller.get("/api/v1/memory/documents").json()["items"] == []
