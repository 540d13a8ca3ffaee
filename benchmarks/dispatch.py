"""Compare how soon, and at what cost, runs begin on the worker types `dryad` and `process`.

    python -m benchmarks.dispatch [--database sqlite|postgres] [--rounds 8] [--burst 12]

Four workers serve a pool each on one Prefect server: `dryad`, the same with spares that are started
rather than forked, Prefect's own `process` asking for work every 0.5 s, and that at its default.
They take turns: one run from its creation to Running, one suspended run from its resumption to
Running; then each gets a burst of runs at once.
Times are those the server stores. CPU seconds are those of the worker and everything it started,
over its burst; the server's are shown beside them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from dryad.platform import environment
from tests.servers import PrefectServer, postgres, prefect, stop, wait_for

LIMIT = 4
POLL = "PREFECT_WORKER_QUERY_SECONDS"
FLOWS = "tests.deployments.example_flows"


@dataclass
class Contender:
    """One worker on a pool of its own."""

    name: str
    type: str
    settings: dict[str, str] = field(default_factory=dict[str, str])
    cpu: psutil.Process | None = None
    created: list[float] = field(default_factory=list[float])
    resumed: list[float] = field(default_factory=list[float])
    burst: dict[str, float] = field(default_factory=dict[str, float])


def contenders() -> list[Contender]:
    return [
        Contender("dryad", "dryad", {POLL: "5"}),
        Contender("dryad, started", "dryad", {POLL: "5", "DRYAD_WORKER_FORKS": "false"}),
        Contender("process, 0.5 s", "process", {POLL: "0.5"}),
        Contender("process, default", "process"),
    ]


class Bench:
    """A server, its workers, and what is asked of them."""

    def __init__(self, server: PrefectServer, client: httpx.Client) -> None:
        self.server = server
        self.client = client
        self.process = server_process(server)

    def deploy(self, one: Contender) -> None:
        """Register the two flows on the pool of one worker."""
        for flow in ("write_note", "wait_for_a_word"):
            flow_id = self.post("/flows/", name=flow.replace("_", "-"))["id"]
            self.post(
                "/deployments/",
                name=one.name,
                flow_id=flow_id,
                entrypoint=f"{FLOWS}.{flow}",
                work_pool_name=one.name,
                pull_steps=[],
            )

    def post(self, path: str, **body: Any) -> Any:
        answer = self.client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def create(self, flow: str, one: Contender, **parameters: str) -> str:
        found = self.client.get(f"/deployments/name/{flow}/{one.name}").raise_for_status().json()
        run = self.post(f"/deployments/{found['id']}/create_flow_run", parameters=parameters)
        return str(run["id"])

    def wait(self, run: str, *types: str) -> None:
        def there() -> bool:
            state = self.client.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
            assert state["type"] not in {"CRASHED", "FAILED"}, state
            return state["type"] in types

        deadline = time.monotonic() + 180
        while not there():
            assert time.monotonic() < deadline, f"run {run} is not {types}"
            time.sleep(0.2)

    def seconds(self, run: str, start: str) -> float:
        """Return how long the run took from its last state of the name `start` to Running."""
        rows = self.client.get("/flow_run_states/", params={"flow_run_id": run})
        states = sorted(rows.raise_for_status().json(), key=lambda row: row["timestamp"])
        at = {row["name"]: datetime.fromisoformat(row["timestamp"]) for row in states}
        return (at["Running"] - at[start]).total_seconds()

    def one_round(self, one: Contender) -> None:
        run = self.create("write-note", one, path="/dev/null")
        self.wait(run, "COMPLETED")
        one.created.append(self.seconds(run, "Scheduled"))
        run = self.create("wait-for-a-word", one)
        self.wait(run, "PAUSED")
        time.sleep(2)  # the process ends after the state
        self.post(f"/flow_runs/{run}/resume")
        self.wait(run, "COMPLETED")
        one.resumed.append(self.seconds(run, "Resuming"))

    def many(self, one: Contender, count: int) -> None:
        assert one.cpu is not None
        before, server = cpu(one.cpu), cpu(self.process)
        began = time.monotonic()
        for run in [self.create("write-note", one, path="/dev/null") for _ in range(count)]:
            self.wait(run, "COMPLETED")
        took = time.monotonic() - began
        time.sleep(3)
        one.burst = {
            "runs a minute": 60 * count / took,
            "worker CPU s a run": (cpu(one.cpu) - before) / count,
            "server CPU s a run": (cpu(self.process) - server) / count,
        }


def server_process(server: PrefectServer) -> psutil.Process:
    port = server.url.split(":")[2].split("/")[0]
    children = psutil.Process().children(recursive=True)
    return next(one for one in children if port in one.cmdline())


def cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, what it started, and what of that has ended."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += sum(one.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


@contextmanager
def working(server: PrefectServer, one: Contender, directory: Path) -> Generator[None]:
    """Run the worker of one contender; it has carried a run when the block begins."""
    ours = environment.frugal(server.url) if one.type == "dryad" else {}
    command = ["prefect", "worker", "start", "--pool", one.name, "--type", one.type]
    with (directory / f"{one.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", *command, "--limit", str(LIMIT), "--name", one.name,
             "--install-policy", "never"],
            env=server.environment | one.settings | ours, cwd=directory, stdout=log, stderr=log,
        )  # fmt: skip
        one.cpu = psutil.Process(process.pid)
        try:
            yield
        finally:
            stop(process)


def measure(database: str | None, directory: Path, rounds: int, burst: int) -> list[Contender]:
    everyone = contenders()
    with ExitStack() as stack:
        server = stack.enter_context(prefect(directory, database=database))
        bench = Bench(server, stack.enter_context(server.client()))
        for one in everyone:
            stack.enter_context(working(server, one, directory))
            pool = f"/work_pools/{one.name}"
            wait_for(pool, lambda pool=pool: bench.client.get(pool).is_success, seconds=120)
            bench.deploy(one)
        for one in everyone:
            bench.wait(bench.create("write-note", one, path="/dev/null"), "COMPLETED")
        for number in range(rounds):
            first = number % len(everyone)
            for one in everyone[first:] + everyone[:first]:
                bench.one_round(one)
        for one in everyone:
            bench.many(one, burst)
    return everyone


@contextmanager
def database_url(kind: str, directory: Path) -> Generator[str | None]:
    """Yield where Prefect is to keep its rows: None for its own SQLite."""
    if kind == "sqlite":
        yield None
        return
    (directory / "postgres").mkdir()
    with postgres(directory / "postgres") as url:
        yield url.replace("+psycopg", "+asyncpg") + "/postgres"


def report(everyone: list[Contender]) -> None:
    names = ["create → Running, s", "resume → Running, s", *everyone[0].burst]
    table: dict[str, list[float]] = {
        one.name: [
            statistics.median(one.created),
            statistics.median(one.resumed),
            *one.burst.values(),
        ]
        for one in everyone
    }
    print(f"{'':22}" + "".join(f"{name:>19}" for name in table))
    for row, name in enumerate(names):
        values = [column[row] for column in table.values()]
        shares = [""] + [f" ({values[0] / value:.2f})" for value in values[1:]]
        cells = (f"{v:.2f}{share}" for v, share in zip(values, shares, strict=True))
        print(f"{name:22}" + "".join(f"{cell:>19}" for cell in cells))
    print(f"Medians of {len(everyone[0].created)}; in parentheses: dryad as a share of it.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dispatch")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--burst", type=int, default=12)
    given = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(database_url(given.database, directory))
        load = os.getloadavg()[0]
        report(measure(database, directory, given.rounds, given.burst))
        print(f"Prefect's database: {given.database}; load of the machine before: {load:.1f}")


if __name__ == "__main__":
    main()
