"""How long a decision takes without a model, on SQLite and on PostgreSQL.

    python -m benchmarks.decide [decisions]

Prints milliseconds for scoring and planning alone, then for whole decisions (plan, score, agents,
stops, policy, stored and audited) on either ledger. CPU time of this process is told beside wall
time: on a busy machine it alone means something.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, text

from dryad.foundation.database import Database
from dryad.foundation.database.models import Base
from dryad.orchestration.complexity import score
from dryad.orchestration.offline_planner import offline_plan
from tests import servers
from tests.dryad.orchestration.conftest import build

TEXT = (
    "Explain how leases work; calculate the mean of 12, 15 and 18; then combine both into one page "
    "for the auditors."
)


def main() -> None:
    """Measure in a directory of its own, on a PostgreSQL of its own."""
    decisions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    plan = offline_plan(TEXT)
    tell("score", [timed(lambda: score(TEXT, plan, "read")) for _ in range(decisions)])
    tell("plan", [timed(lambda: offline_plan(TEXT)) for _ in range(decisions)])
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        decide("SQLite", f"sqlite:///{directory}/dryad.db", home / "sqlite", decisions)
        (home / "postgres").mkdir()
        with servers.postgres(home / "postgres") as url:
            server = create_engine(f"{url}/postgres", isolation_level="AUTOCOMMIT")
            with server.connect() as connection:
                connection.execute(text("CREATE DATABASE decide"))
            server.dispose()
            decide("PostgreSQL", f"{url}/decide", home / "anchors", decisions)


def decide(ledger: str, url: str, directory: Path, decisions: int) -> None:
    """Measure whole decisions on one ledger."""
    directory.mkdir()
    database = Database(url)
    Base.metadata.create_all(database.engine)
    house = build(database, directory)
    tasks = [house.submit(f"{TEXT} ({number})") for number in range(decisions)]
    orchestrator = house.orchestrator()
    tell(f"decide {ledger}", [timed(lambda t=task: orchestrator.decide(t)) for task in tasks])
    database.close()


def timed(once: Callable[[], object]) -> tuple[float, float]:
    """Return the milliseconds of one call: (wall, CPU)."""
    begun, cpu = time.perf_counter(), time.process_time()
    once()
    return 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - cpu)


def tell(what: str, calls: list[tuple[float, float]]) -> None:
    """Print median and 95th percentile of both times."""
    for name, times in zip(("wall", "CPU"), zip(*calls, strict=True), strict=True):
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"{what:17} {name:4} median {statistics.median(times):6.2f} ms  p95 {p95:6.2f} ms")


if __name__ == "__main__":
    main()
