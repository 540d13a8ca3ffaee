"""In a burst, no more runs are at work than the pool, its queue or the worker lets through."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from dryad.runs import Runs
from tests.servers import wait_for

BURST = 10
WORKER_LIMIT = 4
LIMITS = {"the worker": WORKER_LIMIT, "the pool": 2, "the queue": 1}


@contextmanager
def limited(api: httpx.Client, who: str) -> Generator[None]:
    path = {"the pool": "/work_pools/dryad", "the queue": "/work_pools/dryad/queues/default"}
    if who not in path:
        yield
        return

    def limit(value: int | None) -> None:
        api.patch(path[who], json={"concurrency_limit": value}).raise_for_status()

    limit(LIMITS[who])
    try:
        yield
    finally:
        limit(None)


def most_at_once(api: httpx.Client, runs: list[str]) -> int:
    """Return how many were Running at once at most, by the times the server stored."""
    changes: list[tuple[datetime, int]] = []
    for run in runs:
        rows = api.get("/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
        at = {row["type"]: datetime.fromisoformat(row["timestamp"]) for row in rows}
        changes += [(at["RUNNING"], 1), (at["COMPLETED"], -1)]
    most = now = 0
    for _, change in sorted(changes):
        most = max(most, now := now + change)
    return most


@pytest.mark.parametrize("who", LIMITS)
def test_a_burst_stays_within_the_limit(
    standing: psutil.Process, runs: Runs, api: httpx.Client, tmp_path: Path, who: str
) -> None:
    with limited(api, who):
        burst = [
            runs.start(
                "hold-on/on-demand",
                {"path": str(tmp_path / f"{number}"), "seconds": 0.3},
                name=f"{number}",
                key=uuid4().hex,
            )
            for number in range(BURST)
        ]
        wait_for(
            "the burst",
            lambda: all(state.ended for state in runs.states(burst).values()),
            seconds=240,
        )
    states = runs.states(burst)
    assert {state.type for state in states.values()} == {"COMPLETED"}, states
    assert 1 <= most_at_once(api, burst) <= LIMITS[who]
