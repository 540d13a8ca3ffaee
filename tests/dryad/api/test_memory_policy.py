"""Through the API: the policy for memory, relations, and a subject that is forgotten."""

import sqlite3
from contextlib import closing

import httpx
import pytest

from dryad.foundation.ids import RunId, TenantId
from dryad.operations.backups.making import Purpose
from dryad.orchestration.requests import Request
from dryad.orchestration.review.questions import Question
from tests.dryad.api.conftest import House


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


def test_records_that_stay_are_counted(house: House, acme: httpx.Client):
    tasks = house.services.tasks
    for text in ("Write to Ada Lovelace.", "Write to somebody."):
        tasks.submit(Request(tenant=TenantId("acme"), text=text, requester="test"))
    asking = Request(tenant=TenantId("acme"), text="Write to a programmer.", requester="test")
    task = tasks.submit(asking)
    call = {"tool": "webhook", "version": "1", "arguments": {"to": "Ada Lovelace"}}
    tasks.set_status(task.id, "running")
    question = Question(
        tenant=task.tenant, task=task.id, run=RunId("run-1"), member="m-1", ordinal=1,
        kind="approval", tier="external", requester="test", title="Send it", why="it leaves",
        action="send", call=call,
    )  # fmt: skip
    house.services.cases.settle(question)
    asked = {"subject": "Ada Lovelace", "reason": "She asked.", "dry_run": True}
    assert acme.post("/api/v1/memory/erasures", json=asked).json()["tasks"] == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_report_says_until_when_backups_hold_what_was_erased(house: House, acme: httpx.Client):
    shelved(acme, "Ada Lovelace wrote the first program.")
    prefect = house.settings.home / "prefect" / "prefect.db"
    prefect.parent.mkdir()
    with closing(sqlite3.connect(prefect)) as database:
        database.execute("CREATE TABLE runs (x)")
    made = house.services.backups.create(Purpose())
    asked = {"subject": "Ada Lovelace", "reason": "She asked."}
    done = acme.post("/api/v1/memory/erasures", json=asked).raise_for_status().json()
    (told,) = done["backups"]
    assert made.manifest.id in told
    started = made.manifest.started.date()
    assert f"until {started.year + 1}-{started.month:02}-01 at the latest" in told
    assert done["mirrors"] == []


def test_documents_are_related(acme: httpx.Client):
    a, b = shelved(acme, "One."), shelved(acme, "Two.", "b.md")
    path = f"/api/v1/memory/documents/{a}/relations"
    made = acme.post(path, json={"target": b, "kind": "supports", "confidence": 0.5})
    assert made.status_code == 201
    assert acme.get(path).json()["items"] == [
        {"source": a, "target": b, "kind": "supports", "confidence": 0.5}
    ]
