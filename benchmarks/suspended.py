"""Measure what runs that wait for a person cost the worker and the Prefect server.

    python -m benchmarks.suspended [--runs 1000] [--seconds 60] [--database sqlite|postgres]

One worker of the type `dryad`, at rest, first with no run, then with so many suspended ones: CPU
and memory of the worker with everything it started, CPU of the server, and how long the server
takes to answer what the worker asks at intervals. Then one is resumed among all the others.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import psutil

from benchmarks.dispatch import Bench, Contender, cpu, database_url, working
from tests.servers import prefect, wait_for

_ASKS = 20


def memory_mb(process: psutil.Process) -> float:
    """Return what a process and everything it started hold alone, and their share of the rest."""
    everyone = [process, *process.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in everyone) / 1e6


def suspend(bench: Bench, one: Contender, count: int) -> list[str]:
    """Create runs that wait, as `suspend_flow_run` leaves them."""
    found = bench.client.get(f"/deployments/name/write-note/{one.name}").raise_for_status()
    state = {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": True}}
    path = f"/deployments/{UUID(found.json()['id'])}/create_flow_run"
    given = {"state": state, "parameters": {"path": "/dev/null"}}
    return [bench.post(path, **given)["id"] for _ in range(count)]


def at_rest(bench: Bench, one: Contender, seconds: float) -> dict[str, float]:
    """Let nothing happen; return what that cost."""
    assert one.cpu is not None
    time.sleep(5)
    before, server, began = cpu(one.cpu), cpu(bench.process), time.monotonic()
    time.sleep(seconds)
    minutes = (time.monotonic() - began) / 60
    used = {
        "worker CPU s a minute": (cpu(one.cpu) - before) / minutes,
        "server CPU s a minute": (cpu(bench.process) - server) / minutes,
        "worker memory, MB": memory_mb(one.cpu),
        "worker processes": 1 + len(one.cpu.children(recursive=True)),
    }
    asked: list[float] = []
    for _ in range(_ASKS):
        asking = time.monotonic()
        path = f"/work_pools/{one.name}/get_scheduled_flow_runs"
        bench.client.post(path, json={}).raise_for_status()
        asked.append(1000 * (time.monotonic() - asking))
    return used | {"one question of the worker, ms": statistics.median(asked)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suspended")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    given = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(database_url(given.database, directory))
        server = stack.enter_context(prefect(directory, database=database))
        bench = Bench(server, stack.enter_context(server.client()))
        one = Contender("dryad", "dryad", "5")
        stack.enter_context(working(server, one, directory))
        pool = f"/work_pools/{one.name}"
        wait_for(pool, lambda: bench.client.get(pool).is_success, seconds=120)
        bench.deploy(one)
        bench.wait(bench.create("write-note", one, path="/dev/null"), "COMPLETED")
        nothing = at_rest(bench, one, given.seconds)
        waiting = suspend(bench, one, given.runs)
        many = at_rest(bench, one, given.seconds)
        bench.post(f"/flow_runs/{waiting[0]}/resume")
        bench.wait(waiting[0], "COMPLETED")
        resumed = bench.seconds(waiting[0], "Resuming")
    print(f"{'':32}{'no run':>12}{f'{given.runs} suspended':>18}")
    for name, value in nothing.items():
        print(f"{name:32}{value:>12.2f}{many[name]:>18.2f}")
    print(f"resume → Running, s{'':13}{'':>12}{resumed:>18.2f}")
    print(f"Prefect's database: {given.database}")


if __name__ == "__main__":
    main()
