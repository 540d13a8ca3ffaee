"""What was measured adds up, and what was not measured lately counts as broken."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dryad.foundation.database import Database
from dryad.foundation.errors import Unavailable
from dryad.operations.health import COMPONENTS, Finding, Health

START = datetime(2026, 1, 1, tzinfo=UTC)


class Hands:
    """A clock one sets by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


def all_well(health: Health) -> None:
    for component in COMPONENTS:
        health.record(component, "healthy", latency_ms=1.5)


def test_the_document_has_the_runbooks_shape(database: Database, hands: Hands):
    health = Health(database, hands, START)
    all_well(health)
    hands.now += timedelta(seconds=20)
    document = health.report().document(requests=7, errors=1)
    details = document.pop("details")
    assert document == {
        "status": "healthy",
        "timestamp": "2026-01-01T00:00:20Z",
        "components": dict.fromkeys(COMPONENTS, "healthy"),
        "metrics": {"uptime_seconds": 20, "requests_total": 7, "errors_total": 1},
    }
    assert details["redis"] == {
        "status": "healthy", "reason": "", "latency_ms": 1.5, "age_seconds": 20.0,
    }  # fmt: skip


def test_what_was_not_measured_for_three_periods_is_unhealthy(database: Database, hands: Hands):
    health = Health(database, hands, periods={"llm": timedelta(minutes=1)})
    all_well(health)
    hands.now += timedelta(seconds=46)
    report = health.report()
    assert report.details["redis"].status == "unhealthy"
    assert report.details["redis"].reason == "not measured since 2026-01-01T00:00:00Z"
    assert report.details["llm"].status == "healthy"
    assert report.details["database"].status == "healthy"  # the report itself measured it
    assert report.status == "degraded"


def test_nothing_measured_yet_says_so(database: Database):
    report = Health(database).report()
    assert report.details["chromadb"].reason == "not measured yet"
    assert report.document(requests=0, errors=0)["components"]["llm"] == "unhealthy"


def test_an_offline_model_is_degraded_and_the_whole_healthy_unless_required(database: Database):
    health = Health(database)
    all_well(health)
    health.record("llm", "degraded", "offline provider")
    assert health.report().status == "healthy"
    assert Health(database, required=frozenset({"llm"})).report().status == "unhealthy"


def test_a_probe_that_raises_found_its_component_unhealthy(database: Database):
    health = Health(database)

    def refuse() -> Finding:
        raise Unavailable("connection refused")

    def break_() -> Finding:
        raise RuntimeError

    found = health.measure(
        {"redis": refuse, "worker": break_, "llm": lambda: Finding("degraded", "offline")}
    )
    assert found["redis"] == Finding("unhealthy", "connection refused")
    details = health.report().details
    assert (details["worker"].status, details["worker"].reason) == ("unhealthy", "RuntimeError")
    assert details["llm"].status == "degraded"


def test_a_newer_measurement_replaces_the_older(database: Database):
    health = Health(database)
    health.record("redis", "unhealthy", "down")
    health.record("redis", "healthy")
    assert health.report().details["redis"].status == "healthy"


def test_a_report_comes_even_when_the_database_is_gone(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")  # no table at all
    report = Health(database).report()
    database.close()
    assert report.status == "unhealthy"
    assert "health" in report.details["database"].reason
    assert report.details["redis"].reason == "unknown while the database is down"
