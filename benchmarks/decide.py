"""How long a decision takes without a model, and what a larger task force costs.

    python benchmarks/decide.py [decisions]

Prints milliseconds for scoring alone and for whole decisions (plan, score, agents, stops, policy,
stored and audited), then for decisions with 1, 4, 16 and 20 seats (a plan has no more steps), and
what a force of that size needs to gather and to say one thing each. CPU time is told beside wall
time: on a busy machine it alone means something.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dryad.foundation.database import Database
from dryad.foundation.database.models import Base
from dryad.orchestration.complexity import score
from dryad.orchestration.offline_planner import offline_plan
from dryad.orchestration.task_force import roles
from tests.dryad.orchestration.conftest import ACME, House, build

TEXT = (
    "Explain how leases work; calculate the mean of 12, 15 and 18; then combine both into one page "
    "for the auditors."
)


def main() -> None:
    """Measure on SQLite in a directory of its own."""
    decisions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{directory}/dryad.db")
        Base.metadata.create_all(database.engine)
        house = build(database, Path(directory))
        plan = offline_plan(TEXT)
        tell("score", [timed(lambda: score(TEXT, plan, "read")) for _ in range(decisions)])
        tell("plan", [timed(lambda: offline_plan(TEXT)) for _ in range(decisions)])
        tasks = [house.submit(f"{TEXT} ({number})") for number in range(decisions)]
        orchestrator = house.orchestrator()
        tell("decide", [timed(lambda task=task: orchestrator.decide(task)) for task in tasks])
        for seats in (1, 4, 16, 20):
            grown(house, seats)
        database.close()


def grown(house: House, seats: int) -> None:
    """Measure one decision and its force."""
    bullets = "\n".join(f"- Explain subject {number}" for number in range(seats))
    task = house.submit(bullets)
    decided = timed(lambda: house.orchestrator().decide(task))
    decision = house.orchestrator().decide(task)

    def meet() -> None:
        house.forces.assemble(ACME, task.id, "", decision.seats, roles=roles(decision))
        for seat in decision.seats:
            house.forces.say(task.id, seat.member, "proposal", {"text": "x"}, turn="end")

    met = timed(meet)
    print(
        f"{seats:3} seats: decide {decided[0]:6.1f} ms (CPU {decided[1]:5.1f}), "
        f"gather and speak {met[0]:6.1f} ms (CPU {met[1]:5.1f})"
    )


def timed(once: Callable[[], object]) -> tuple[float, float]:
    """Return the milliseconds of one call: (wall, CPU)."""
    begun, cpu = time.perf_counter(), time.process_time()
    once()
    return 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - cpu)


def tell(what: str, calls: list[tuple[float, float]]) -> None:
    """Print median and 95th percentile of both times."""
    for name, times in zip(("wall", "CPU"), zip(*calls, strict=True), strict=True):
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"{what:7} {name:4} median {statistics.median(times):6.2f} ms  p95 {p95:6.2f} ms")


if __name__ == "__main__":
    main()
