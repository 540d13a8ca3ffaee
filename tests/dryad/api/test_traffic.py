"""Every request leaves named, measured, limited and logged, whatever became of it."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.dryad.api.conftest import House, serving
from tests.dryad.api.test_tasks import is_problem


def lines(house: House, name: str) -> list[dict[str, Any]]:
    path = house.settings.logs_dir / f"gremlins_{name}.log"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_request_leaves_one_access_line(acme: httpx.Client, house: House):
    trace = "0af7651916cd43dd8448eb211c80319c"
    acme.get(
        "/api/v1/tasks/task_0",
        headers={"X-Request-Id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"},
    )
    line = lines(house, "access")[-1]
    assert (line["event"], line["method"], line["status"]) == ("request", "GET", 404)
    assert (line["path"], line["request"]) == ("/api/v1/tasks/task_0", "mine-1")
    assert (line["tenant_id"], line["trace_id"]) == ("acme", trace)
    assert list(line)[-1] == "duration_ms"
    assert 0 < line["duration_ms"] < 10_000
    key = acme.headers["authorization"].removeprefix("Bearer ")
    assert key not in json.dumps(line)
    assert line["key_id"] == key.split("_")[2]


def test_a_request_id_that_could_forge_a_line_is_replaced(stranger: httpx.Client):
    answer = stranger.get("/health", headers={"X-Request-Id": 'a"} {"event": "x'})
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_fault_of_ours_is_a_problem_and_a_line_in_the_error_log(acme: httpx.Client, house: House):
    with house.services.database.transaction() as session:
        session.execute(text("ALTER TABLE decisions RENAME TO gone"))
    task = acme.post("/api/v1/tasks", json={"text": "a"}).json()["id"]
    answer = acme.get(f"/api/v1/tasks/{task}")
    # SQLite calls a missing table an operational error, PostgreSQL a mistake of ours.
    assert answer.status_code in {500, 503}
    problem = is_problem(answer, answer.status_code, answer.json()["code"])
    assert "Traceback" not in answer.text
    assert lines(house, "errors")[-1]["request"] == problem["request_id"]
    status = acme.get("/api/v1/health/status").json()
    assert status["metrics"]["errors_total"] == 1
    assert status["metrics"]["requests_total"] == 2


def test_a_body_over_the_limit_is_refused_before_it_is_read(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'dryad.db'}"
    with serving(tmp_path / "home", url, DRYAD_MAX_BODY_BYTES="10000") as house:
        key = house.key("acme")
        with house.client(key) as acme:
            said = is_problem(
                acme.post("/api/v1/tasks", json={"text": "x" * 10_001}), 413, "limit_exceeded"
            )
            assert "10,000 bytes" in said["detail"]
            chunks = iter([b'{"text": "', *[b"x" * 1000] * 20, b'"}'])
            is_problem(acme.post("/api/v1/tasks", content=chunks), 413, "limit_exceeded")
            assert acme.get("/api/v1/tasks").json()["items"] == []
        # Answered although the body promised never comes.
        with socket.create_connection(("127.0.0.1", house.settings.api_port), timeout=5) as line:
            line.sendall(
                b"POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n"
                b"Content-Type: application/json\r\n\r\n"
            )
            assert line.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "path", ["/api/v1/tasks/%00", "/api/v1/tasks?status=%00", "/%00", "/api/v1/tasks/a%2500b"]
)
def test_a_nul_in_the_address_is_explained(acme: httpx.Client, house: House, path: str):
    connection = http.client.HTTPConnection("127.0.0.1", house.settings.api_port, timeout=10)
    connection.request("GET", path, headers={"Authorization": acme.headers["authorization"]})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (400, "invalid_request")
    connection.close()


def test_an_unknown_address_or_method_is_a_problem(stranger: httpx.Client):
    assert "/nowhere" in is_problem(stranger.get("/nowhere"), 404, "not_found")["detail"]
    is_problem(stranger.put("/health"), 405, "invalid_request")


def test_prometheus_sees_requests_errors_latency_and_tasks(
    acme: httpx.Client, stranger: httpx.Client
):
    task = acme.post("/api/v1/tasks", json={"text": "a"}).json()["id"]
    acme.get("/nowhere")
    acme.get(f"/api/v1/tasks/{task}")
    page = stranger.get("/metrics").text
    assert 'dryad_requests_total{method="POST",route="/api/v1/tasks",status="201"} 1.0' in page
    one = 'method="GET",route="/api/v1/tasks/{task_id}",status="200"'
    assert f"dryad_requests_total{{{one}}} 1.0" in page
    assert 'dryad_requests_total{method="GET",route="(none)",status="404"} 1.0' in page
    assert 'dryad_request_seconds_count{method="POST",route="/api/v1/tasks"} 1.0' in page
    assert 'dryad_tasks{status="submitted"} 1.0' in page
    assert "dryad_errors_total 0.0" in page
