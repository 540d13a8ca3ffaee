"""Tasks from the outside: asked once, safe while Prefect is down, never seen by another tenant."""

from typing import Any

import httpx
import pytest

from dryad.foundation.ids import RunId, TaskId
from tests.dryad.api.conftest import House


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"]
    assert problem["next_step"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def test_a_task_is_taken_while_prefect_is_down_and_waits_for_the_keeper(
    acme: httpx.Client, house: House
):
    answer = acme.post("/api/v1/tasks", json={"text": "Sum it up", "context": {"a": [1]}})
    assert answer.status_code == 201
    task = answer.json()
    assert (task["tenant"], task["status"], task["run"]) == ("acme", "submitted", None)
    assert task["requester"].startswith("key:")
    assert [unsent.id for unsent in house.services.tasks.unsent()] == [task["id"]]
    shown = acme.get(f"/api/v1/tasks/{task['id']}").json()
    assert (shown["decision"], shown["cases"]) == (None, [])
    assert shown["steps"] == {"done": 0, "intended": 0, "doubtful": 0, "last": None}


def test_the_same_key_answers_200_with_the_same_task(acme: httpx.Client):
    body = {"text": "Sum it up"}
    first = acme.post("/api/v1/tasks", json=body, headers={"Idempotency-Key": "k1"})
    again = acme.post("/api/v1/tasks", json={**body, "idempotency_key": "k1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = acme.post("/api/v1/tasks", json={"text": "Else"}, headers={"Idempotency-Key": "k1"})
    is_problem(other, 409, "conflict")
    both = {"text": "Sum it up", "idempotency_key": "k2"}
    clash = acme.post("/api/v1/tasks", json=both, headers={"Idempotency-Key": "k1"})
    is_problem(clash, 400, "invalid_request")
    assert len(acme.get("/api/v1/tasks").json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"text": ""}, "empty"),
        ({"text": "x" * 1_000_000}, "1,000,000 bytes"),
        ({"text": "a\x00b"}, "NUL"),
        ({"text": "\x7fELF"}, "U+007F"),
        ({"context": {}}, "text"),
        ({"text": "a", "context": ["a"]}, "context"),
        ({"text": "a", "context": {"a": [{"__prefect_kind": "jinja"}]}}, "__prefect_kind"),
        ({"text": "a", "budget": {"tokens": -1}}, "tokens"),
        ({"text": "a", "budget": {"tokens": 10**9}}, "at most 200,000"),
        ({"text": "a", "agent": "No/Body"}, "agent"),
        ({"text": "a", "colour": "red"}, "colour"),
        ("not an object", "body"),
    ],
)
def test_bad_input_is_explained_and_nothing_happens(acme: httpx.Client, body: Any, says: str):
    problem = is_problem(acme.post("/api/v1/tasks", json=body), 400, "invalid_request")
    assert says in problem["detail"]
    assert acme.get("/api/v1/tasks").json()["items"] == []


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff\xfe", b'{"text": "a\\ud800"}', b'{"text": "a", "a\\ud800": 1}', b"", b"[" * 5000],
)
def test_a_body_that_is_no_json_is_explained(acme: httpx.Client, raw: bytes):
    headers = {"Content-Type": "application/json"}
    answer = acme.post("/api/v1/tasks", content=raw, headers=headers)
    is_problem(answer, 400, "invalid_request")
    assert acme.get("/api/v1/tasks").json()["items"] == []


def test_a_context_deeper_than_the_limit_is_explained(acme: httpx.Client):
    raw = b'{"text": "a", "context": ' + b'{"a":' * 900 + b"1" + b"}" * 901
    answer = acme.post("/api/v1/tasks", content=raw, headers={"Content-Type": "application/json"})
    assert "too deep" in is_problem(answer, 400, "invalid_request")["detail"]


def test_unknown_tenant_and_agent_are_not_found(acme: httpx.Client, operator: httpx.Client):
    is_problem(acme.post("/api/v1/tasks", json={"text": "a", "agent": "nobody"}), 404, "not_found")
    is_problem(
        operator.post("/api/v1/tasks", json={"text": "a", "tenant": "nobody"}), 404, "not_found"
    )
    assert acme.get("/api/v1/tasks").json()["items"] == []


def test_right_to_left_and_very_long_lines_are_taken_as_they_are(acme: httpx.Client):
    text = "\u202eסכם את הנתונים\n" + "line\n" * 10_000
    task = acme.post("/api/v1/tasks", json={"text": text}).json()
    assert acme.get(f"/api/v1/tasks/{task['id']}").json()["text"] == text


def test_a_list_goes_page_by_page_from_new_to_old(acme: httpx.Client):
    made = [acme.post("/api/v1/tasks", json={"text": f"n {n}"}).json()["id"] for n in range(5)]
    first = acme.get("/api/v1/tasks", params={"limit": 3}).json()
    rest = acme.get("/api/v1/tasks", params={"limit": 3, "before": first["next"]}).json()
    assert [task["id"] for task in first["items"] + rest["items"]] == made[::-1]
    assert rest["next"] is None
    acme.post(f"/api/v1/tasks/{made[0]}/cancel")
    found = acme.get("/api/v1/tasks", params={"status": "cancelled"}).json()["items"]
    assert [task["id"] for task in found] == [made[0]]


def test_what_is_cancelled_has_ended_with_its_reason(acme: httpx.Client, house: House):
    task = acme.post("/api/v1/tasks", json={"text": "a"}).json()["id"]
    house.services.tasks.sent(TaskId(task), RunId("3c9f2a2e-0000-4000-8000-000000000000"))
    answer = acme.post(f"/api/v1/tasks/{task}/cancel", json={"reason": "no longer needed"})
    assert answer.status_code == 200  # although Prefect is down: the row is the truth
    assert (answer.json()["status"], answer.json()["reason"]) == ("cancelled", "no longer needed")
    assert acme.post(f"/api/v1/tasks/{task}/cancel").json()["status"] == "cancelled"


def test_what_a_restore_holds_begins_anew_when_a_person_releases_it(
    acme: httpx.Client, globex: httpx.Client, house: House
):
    task = acme.post("/api/v1/tasks", json={"text": "a", "idempotency_key": "k"}).json()["id"]
    assert acme.post(f"/api/v1/tasks/{task}/release").status_code == 409
    house.services.tasks.set_status(TaskId(task), "held", reason="restored from a set")
    assert globex.post(f"/api/v1/tasks/{task}/release").status_code == 404
    ended = acme.post(f"/api/v1/tasks/{task}/release").json()
    again = ended["reason"].rpartition(" ")[2]
    assert ended["status"] == "superseded"
    assert acme.get(f"/api/v1/tasks/{again}").json()["text"] == "a"
    assert acme.get(f"/api/v1/tasks/{again}").json()["status"] == "submitted"
    assert acme.post(f"/api/v1/tasks/{task}/release").status_code == 409


def test_another_tenants_task_does_not_exist(acme: httpx.Client, globex: httpx.Client):
    task = acme.post("/api/v1/tasks", json={"text": "a"}).json()["id"]
    for answer in (
        globex.get(f"/api/v1/tasks/{task}"),
        globex.post(f"/api/v1/tasks/{task}/cancel"),
        globex.get(f"/api/v1/tasks/{task}", params={"tenant": "acme"}),
        globex.get("/api/v1/tasks", params={"before": task}),
        globex.post("/api/v1/tasks", json={"text": "a", "tenant": "acme"}),
        globex.get("/api/v1/tasks", params={"tenant": "acme"}),
    ):
        is_problem(answer, 404, "not_found")
    assert globex.get("/api/v1/tasks").json()["items"] == []
    assert acme.get(f"/api/v1/tasks/{task}").json()["status"] == "submitted"


def test_an_operator_acts_for_every_tenant(operator: httpx.Client, acme: httpx.Client):
    task = operator.post("/api/v1/tasks", json={"text": "a", "tenant": "acme"}).json()
    assert acme.get(f"/api/v1/tasks/{task['id']}").status_code == 200
    assert operator.get(f"/api/v1/tasks/{task['id']}").status_code == 404
    found = operator.get(f"/api/v1/tasks/{task['id']}", params={"tenant": "acme"})
    assert found.json()["tenant"] == "acme"
