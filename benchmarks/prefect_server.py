"""How the Prefect server holds when many write and many ask at once.

    python -m benchmarks.prefect_server [--seconds 30] [--writers 8] [--workers 8]

Writers create runs and carry them through their states as workers and runs do; each of the
workers asks its own pool for work and says that it lives, every 0.2 s. Nobody asks twice. In turn:
SQLite as Prefect begins its transactions, SQLite as `deployments.server` does, and PostgreSQL.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.dispatch import database_url
from tests.servers import (
    OUR_SERVER,
    STOCK_SERVER,
    PrefectServer,
    answers,
    killable_prefect,
    wait_for,
)

SETUPS = {
    "SQLite, Prefect's own": ("sqlite", STOCK_SERVER),
    "SQLite, ours": ("sqlite", OUR_SERVER),
    "PostgreSQL": ("postgres", OUR_SERVER),
}
STATES = ("PENDING", "RUNNING", "COMPLETED")


@dataclass
class Load:
    """What was asked of one server, and how it answered."""

    server: PrefectServer
    ends: float
    seconds: list[float] = field(default_factory=list[float])
    answers: Counter[int] = field(default_factory=Counter[int])

    def client(self) -> httpx.Client:
        user, _, password = self.server.auth.partition(":")
        return httpx.Client(base_url=self.server.url, auth=(user, password), timeout=120)

    def ask(self, client: httpx.Client, path: str, **body: Any) -> httpx.Response:
        """Ask once; a connection that broke counts as the status 0."""
        began = time.monotonic()
        try:
            answer = client.post(path, json=body)
        except httpx.TransportError:
            answer = httpx.Response(0)
        self.seconds.append(time.monotonic() - began)
        self.answers[answer.status_code] += 1
        return answer

    def write(self, deployment: str) -> None:
        with self.client() as client:
            while time.monotonic() < self.ends:
                made = self.ask(client, f"/deployments/{deployment}/create_flow_run")
                if not made.is_success:
                    continue
                for kind in STATES:
                    path = f"/flow_runs/{made.json()['id']}/set_state"
                    self.ask(client, path, state={"type": kind}, force=True)

    def work(self, pool: str) -> None:
        with self.client() as client:
            while time.monotonic() < self.ends:
                self.ask(client, f"/work_pools/{pool}/workers/heartbeat", name=pool)
                self.ask(client, f"/work_pools/{pool}/get_scheduled_flow_runs")
                threading.Event().wait(0.2)


def measure(server: PrefectServer, *, seconds: float, writers: int, workers: int) -> Load:
    load = Load(server, time.monotonic() + seconds)
    with server.client() as client, ThreadPoolExecutor(writers + workers) as everyone:
        flow = client.post("/flows/", json={"name": "nothing"}).raise_for_status().json()["id"]
        pools = [f"pool-{number}" for number in range(workers)]
        deployments: list[str] = []
        for pool in pools:
            client.post("/work_pools/", json={"name": pool, "type": "process"}).raise_for_status()
            body = {"name": pool, "flow_id": flow, "work_pool_name": pool}
            made = client.post("/deployments/", json=body).raise_for_status()
            deployments.append(made.json()["id"])
        load.ends = time.monotonic() + seconds
        asked = [everyone.submit(load.write, deployments[n % workers]) for n in range(writers)]
        asked += [everyone.submit(load.work, pool) for pool in pools]
        for one in asked:
            one.result()
    return load


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefect_server")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--workers", type=int, default=8)
    given = parser.parse_args()
    print(f"{'':24}{'asked/s':>10}{'p50, ms':>10}{'p95, ms':>10}{'longest, s':>12}  answers")
    for name, (kind, program) in SETUPS.items():
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            database = stack.enter_context(database_url(kind, directory))
            server, process = killable_prefect(directory, database=database, program=program)
            stack.callback(process.stop)
            process.start()
            wait_for("Prefect", lambda url=server.url: answers(f"{url}/ready"), seconds=120)
            load = measure(
                server, seconds=given.seconds, writers=given.writers, workers=given.workers
            )
        cuts = statistics.quantiles(load.seconds, n=20)
        figures = [len(load.seconds) / given.seconds, 1000 * cuts[9], 1000 * cuts[18]]
        cells = "".join(f"{figure:>10.0f}" for figure in figures)
        print(f"{name:24}{cells}{max(load.seconds):>12.1f}  {dict(load.answers)}", flush=True)
    print(f"{given.writers} writers, {given.workers} workers; load now: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
