"""`prune-history/daily` leaves nothing of what ended and all of what waits, on both databases."""

import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import create_engine, text

from deployments.apply import default_file
from dryad.foundation.environment import load
from dryad.foundation.ids import RunId
from dryad.foundation.secrets import Secrets
from dryad.runs import Runs
from tests.deployments.conftest import installed, register, start_worker
from tests.servers import PrefectServer, prefect, stop, wait_for

LETTER = "Notify the operators that the maintenance window begins at 18:00."
VACUUM = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": "3",
}
"""As an installation has it, but more often than once a day."""

pytestmark = pytest.mark.soak


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str | None, str]:
    """The URLs of two empty databases, Prefect's (None: its own) and DRYAD's."""
    if request.param == "sqlite":
        return None, f"sqlite:///{tmp_path / 'dryad.db'}"
    server = request.getfixturevalue("postgres_server")
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("prune_prefect", "prune_dryad"):
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    url = f"{server}/prune_prefect".replace("+psycopg", "+asyncpg")
    return url, f"{server}/prune_dryad"


@pytest.fixture
def server(databases: tuple[str | None, str], tmp_path: Path) -> Generator[PrefectServer]:
    """A server with the password that the installation knows."""
    (tmp_path / "prefect").mkdir()
    auth = Secrets.create_or_read(tmp_path / "home" / "secrets").prefect_auth
    more = VACUUM | {"PREFECT_SERVER_API_AUTH_STRING": auth}
    with prefect(tmp_path / "prefect", database=databases[0], **more) as started:
        server = replace(started, auth=auth)
        register(server, default_file())
        yield server


def left(api: httpx.Client, run: str) -> dict[str, int]:
    """Count what the server still has of a run."""
    wanted = {"flow_run_id": {"any_": [run]}}
    rows = {
        kind: len(api.post(f"/{kind}/filter", json={kind: wanted}).raise_for_status().json())
        for kind in ("logs", "artifacts")
    }
    mine = {"flow_runs": {"id": {"any_": [run]}}}
    for kind in ("flow_runs", "task_runs"):
        rows[kind] = len(api.post(f"/{kind}/filter", json=mine).raise_for_status().json())
    return rows


@contextmanager
def working(server: PrefectServer, directory: Path, **environment: str) -> Generator[None]:
    worker = start_worker(server, directory, **environment)
    try:
        yield
    finally:
        stop(worker)


def ask(runs: Runs, what: str) -> RunId:
    form: dict[str, Any] = {"request": {"text": what}}
    return runs.start("orchestrate-task/on-demand", form, name="task", key=uuid4().hex)


def test_what_ended_is_gone_to_the_last_row_and_what_waits_is_whole(
    server: PrefectServer, databases: tuple[str | None, str], tmp_path: Path
) -> None:
    settings = {
        "DRYAD_HOME": str(tmp_path / "home"),
        "DRYAD_DATABASE_URL": databases[1],
        "DRYAD_PREFECT_API_URL": server.url,
    }
    known, _ = load(settings)
    with (
        installed(known) as services,
        server.client() as api,
        closing(Runs(server.url, server.auth, patience=timedelta(seconds=30))) as runs,
        working(server, tmp_path, DRYAD_HISTORY_RETENTION="1s", **settings),
    ):
        done, waits = ask(runs, "Summarise what DRYAD is in one sentence"), ask(runs, LETTER)
        wait_for("the one's end", lambda: runs.state(done).ended, seconds=120)
        wait_for("the other's question", lambda: runs.state(waits).type == "PAUSED", seconds=120)
        assert runs.state(done).type == "COMPLETED", runs.state(done)
        wait_for("its last row", lambda: all(left(api, done).values()), seconds=30)
        assert services.journal.steps(done)
        before, steps = left(api, waits), len(services.journal.steps(waits))
        time.sleep(2)  # longer than the retention

        form = {"request": {}}
        prune = runs.start("prune-history/daily", form, name="prune", key=uuid4().hex)
        wait_for("the pruning", lambda: runs.state(prune).ended, seconds=120)
        assert runs.state(prune).message == "1 runs forgotten, 0 kept for their tasks"
        wait_for("the last row's end", lambda: not any(left(api, done).values()), seconds=60)
        assert services.journal.steps(done) == []
        assert left(api, waits) == before
        assert len(services.journal.steps(waits)) == steps > 0
        assert runs.state(waits).type == "PAUSED"
