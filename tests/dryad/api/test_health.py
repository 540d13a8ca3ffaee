"""Health from the outside: no key, the runbook's shape, 503 only for database or Prefect."""

import http.server
import threading
from collections.abc import Generator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests import servers
from tests.dryad.api.conftest import House, serving
from tests.dryad.api.test_tasks import is_problem


@pytest.fixture
def answering_server() -> Generator[int]:
    """A port where something answers every GET with 200, as a Prefect server's probes do."""

    class Yes(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Yes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_it_is_alive_but_not_ready_while_prefect_is_down(stranger: httpx.Client):
    assert stranger.get("/health").status_code == 200
    assert stranger.get("/health/live").json() == {"status": "healthy"}
    answer = stranger.get("/health/ready")
    assert answer.status_code == 503
    ready = answer.json()
    assert (ready["ready"], ready["database"]) == (False, "")
    assert "Prefect" in ready["prefect"]


def test_it_is_ready_when_both_answer_whatever_else_is_broken(
    tmp_path: Path, answering_server: int
):
    url = f"sqlite:///{tmp_path / 'dryad.db'}"
    with (
        serving(tmp_path / "home", url, DRYAD_PREFECT_PORT=str(answering_server)) as house,
        house.client(None) as stranger,
    ):
        house.services.health.record("llm", "unhealthy", "no provider answers")
        answer = stranger.get("/health/ready")
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
        assert stranger.get("/api/v1/health/status").json()["components"]["llm"] == "unhealthy"


def test_the_status_has_the_runbooks_shape(stranger: httpx.Client, house: House):
    for component in ("redis", "chromadb"):
        house.services.health.record(component, "healthy")
    house.services.health.record("llm", "degraded", "offline provider")
    status = stranger.get("/api/v1/health/status").json()
    assert set(status) == {"status", "timestamp", "components", "metrics", "details"}
    assert status["status"] == "healthy"
    assert status["components"] == {
        "database": "healthy", "redis": "healthy", "chromadb": "healthy", "llm": "degraded",
    }  # fmt: skip
    assert datetime.fromisoformat(status["timestamp"]).tzinfo is not None
    assert set(status["metrics"]) == {"uptime_seconds", "requests_total", "errors_total"}
    assert status["details"]["llm"]["reason"] == "offline provider"


def test_everything_that_can_be_told_is_told_while_the_database_is_down(tmp_path: Path):
    with ExitStack() as here:
        with servers.postgres(tmp_path) as server:
            url = f"{server}/postgres"
            house = here.enter_context(serving(tmp_path / "home", url))
            acme = here.enter_context(house.client(house.key("acme")))
            assert acme.get("/api/v1/tasks").status_code == 200
            house.services.database.close()  # else the server waits for us before it stops
        assert acme.get("/health").status_code == 200
        assert "did not answer" in acme.get("/health/ready").json()["database"]
        status = acme.get("/api/v1/health/status").json()
        assert (status["status"], status["components"]["database"]) == ("unhealthy", "unhealthy")
        assert "dryad_tasks{" not in acme.get("/metrics").raise_for_status().text
        answer = acme.get("/api/v1/tasks")
        is_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "5"
