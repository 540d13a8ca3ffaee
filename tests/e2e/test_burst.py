"""Many tasks at once, while the inbox is looked at all the time, on both databases.

`DRYAD_TEST_BURST` says how many; 200 without it.
"""

import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import create_engine, text

from tests.e2e.conftest import Installation
from tests.e2e.road import LETTER
from tests.servers import wait_for

BURST = int(os.environ.get("DRYAD_TEST_BURST", "200"))
CLIENTS = 8
TEXTS = (
    "What happens to a task when its flow run is suspended?",
    "Calculate the mean of 12, 15, 18 and 27.",
    "Explain what the keeper does; calculate the sum of 3, 4 and 5.",
    LETTER,
)

pytestmark = pytest.mark.soak


@dataclass
class Timed:
    """How long each request took, and how it was answered."""

    seconds: list[float] = field(default_factory=list[float])
    answers: Counter[int] = field(default_factory=Counter[int])

    def ask(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        began = time.monotonic()
        answer = call()
        self.seconds.append(time.monotonic() - began)
        self.answers[answer.status_code] += 1
        return answer

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.seconds, n=20)[-1]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of both databases, DRYAD's and Prefect's."""
    if request.param == "sqlite":
        return {}
    server = request.getfixturevalue("postgres_server")
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("burst", "burst_prefect"):
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return {
        "DRYAD_DATABASE_URL": f"{server}/burst",
        "DRYAD_PREFECT_DATABASE_URL": f"{server}/burst_prefect",
    }


@contextmanager
def watching(installation: Installation, inbox: Timed) -> Generator[None]:
    """Look at the inbox twice a second."""
    ended = threading.Event()

    def watch() -> None:
        with installation.api() as api:
            while not ended.wait(0.5):
                inbox.ask(lambda: api.get("/api/v1/consultations"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def submit_all(installation: Installation, submits: Timed) -> list[str]:
    with installation.api() as api, ThreadPoolExecutor(CLIENTS) as clients:

        def one(number: int) -> str:
            body = {"text": TEXTS[number % len(TEXTS)]}
            answer = submits.ask(lambda: api.post("/api/v1/tasks", json=body))
            return str(answer.raise_for_status().json()["id"])

        return list(clients.map(one, range(BURST)))


def rows(installation: Installation, tasks: list[str]) -> list[dict[str, Any]]:
    with installation.api() as api:
        found: dict[str, dict[str, Any]] = {}
        before: dict[str, str] = {}
        while True:
            page = api.get("/api/v1/tasks", params={"limit": 100, **before})
            body = page.raise_for_status().json()
            found |= {row["id"]: row for row in body["items"]}
            if not body["next"]:
                return [found[task] for task in tasks]
            before = {"before": body["next"]}


def errors_in(logs: Path) -> Counter[str]:
    """The errors and warnings of all processes, by event."""
    lines = [
        line
        for name in ("gremlins_app.log", "gremlins_errors.log")
        for line in (logs / name).read_text().splitlines()
    ]
    events = [orjson.loads(line) for line in dict.fromkeys(lines)]
    return Counter(
        f"{one['level'].lower()} {one['component']}.{one['event']}"
        for one in events
        if one["level"] in {"WARNING", "ERROR", "CRITICAL"}
    )


def test_a_burst_of_tasks_is_taken_and_done(
    start: Callable[..., Installation],
    database: dict[str, str],
    capsys: pytest.CaptureFixture[str],
):
    name = "postgres" if database else "sqlite"
    burst = start(f"burst-{name}", DRYAD_WORKER_POLL="500ms", **database)
    submits, inbox = Timed(), Timed()
    with watching(burst, inbox):
        began = time.monotonic()
        tasks = submit_all(burst, submits)
        taken = time.monotonic() - began
        moving = {"submitted", "running"}
        wait_for(
            "every task's end",
            lambda: time.sleep(2) or not [r for r in rows(burst, tasks) if r["status"] in moving],
            seconds=60 + 30 * BURST,
        )
        minutes = (time.monotonic() - began) / 60
    ended = rows(burst, tasks)
    found = errors_in(burst.directory / "logs")
    burst.dryad("down")
    with capsys.disabled():
        print(  # noqa: T201 - the figures are quoted
            f"\n{name}: {BURST} tasks, {BURST / taken:.1f} submitted/s by {CLIENTS} clients, "
            f"submit p95 {submits.p95 * 1000:.0f} ms, inbox p95 {inbox.p95 * 1000:.0f} ms "
            f"({len(inbox.seconds)} looks), drained in {minutes:.1f} min, "
            f"{dict(Counter(row['status'] for row in ended))}, logs: {dict(found)}"
        )
    assert set(submits.answers) == {201}
    assert set(inbox.answers) == {200}
    for row in ended:
        wanted = "waiting" if row["text"] == LETTER else "done"
        assert row["status"] == wanted, row
        assert (row["result"] is not None) == (wanted == "done"), row
