"""How long it takes to find the best of a tenant's agents: `python -m benchmarks.discovery`.

The aim is at most 5 ms among 1,000 agents. Prints the median and the 95th percentile, in ms of wall
time and of CPU time of this process, on SQLite or, with `--database postgres`, on a PostgreSQL of
its own.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from dryad.execution.agents import Agents, AgentSpec
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import Base, TenantRow
from dryad.foundation.ids import TenantId
from tests.servers import postgres

ACME = TenantId("acme")


def spec(number: int) -> AgentSpec:
    """Return one of many agents; each third can do one thing more."""
    capabilities = {"compute": (number % 97 + 1) / 100, "report": 0.5}
    if number % 3 == 0:
        capabilities["write"] = 0.7
    instructions = "Compute what is asked, with a program, and report what it printed. " * 10
    return AgentSpec(f"a{number:04}", "Agent", "analyst", "Count.", instructions, capabilities)


def filled(database: Database, agents: int) -> Agents:
    """Return a registry with so many agents, half of which have done something."""
    Base.metadata.create_all(database.engine)
    with database.transaction() as session:
        session.add(TenantRow(id=ACME, name="Acme", status="active", created=utc_now()))
    registry = Agents(database, limit=agents)
    registry.provision(ACME, [spec(number) for number in range(agents)])
    for number in range(0, agents, 2):
        registry.finished(
            ACME, f"a{number:04}", success=number % 5 > 0, tokens=100, cost_usd=0.01, seconds=3
        )
    return registry


def measure(registry: Agents, capabilities: tuple[str, ...], times: int) -> str:
    """Return a line of figures."""
    walls, cpus = list[float](), list[float]()
    load = {f"a{number:04}": number % 4 for number in range(100)}
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        registry.discover(ACME, capabilities, load=load)
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
    shown = [
        f"{name} {statistics.median(found):.2f} (p95 {statistics.quantiles(found, n=20)[-1]:.2f})"
        for name, found in (("wall", walls), ("CPU", cpus))
    ]
    return f"{'+'.join(capabilities):<16} {'  '.join(shown)} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--times", type=int, default=300)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        place = Path(directory)
        if chosen.database == "postgres":
            url = f"{stack.enter_context(postgres(place))}/postgres"
        else:
            url = f"sqlite:///{place}/a.db"
        database = Database(url)
        stack.callback(database.close)
        registry = filled(database, chosen.agents)
        for capabilities in (("compute",), ("compute", "report"), ("compute", "write")):
            registry.discover(ACME, capabilities)
            print(measure(registry, capabilities, chosen.times))


if __name__ == "__main__":
    main()
