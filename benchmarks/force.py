"""What a task force gains, and what each further member costs.

    python -m benchmarks.force [--runs 3]

Runs `orchestrate_task` in this process against a real Prefect server, with agents that answer after
a fixed wait. First: four independent branches against one, agents waiting 2 s, as wall time. Then:
forces of 1, 4, 16 and 64 members whose agents answer at once, as CPU time of this process and wall
time; both grow with the number of members, and the cost of one more is told.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests import servers

WAIT_SECONDS = 2.0
MEMBERS = (1, 4, 16, 64)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        with servers.prefect(home) as server:
            os.environ |= server.environment | {
                "DRYAD_HOME": str(home / ".dryad"),
                "DRYAD_PREFECT_API_URL": server.url,
                "PREFECT_LOGGING_LEVEL": "ERROR",
            }
            asyncio.run(measure(runs))


async def measure(runs: int) -> None:
    """Run forces of every size and print what they took."""
    agents = prepare()
    await force(1)  # imports, connections
    agents.seconds = WAIT_SECONDS
    one, four = [await repeated(runs, lambda n=n: force(n)) for n in (1, 4)]
    print(f"agents wait {WAIT_SECONDS} s, {runs} runs each, median wall time")
    print(
        f"one branch {one[0]:5.2f} s  four branches {four[0]:5.2f} s  ratio {four[0] / one[0]:.2f}"
    )
    agents.seconds = 0.0
    print("agents answer at once, median of a run")
    before = (0.0, 0.0)
    for members in MEMBERS:
        wall, cpu = await repeated(runs, lambda n=members: force(n))
        more = members - (MEMBERS[MEMBERS.index(members) - 1] if members > 1 else 0)
        each = 1000 * (cpu - before[1]) / more
        print(
            f"{members:3} members: wall {wall:6.2f} s  CPU {cpu:6.2f} s  "
            f"one more {each:6.1f} ms of CPU"
        )
        before = (wall, cpu)


async def repeated(runs: int, once: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Return the median seconds of a run: (wall, CPU of this process)."""
    walls, cpus = list[float](), list[float]()
    for _ in range(runs):
        begun, cpu = time.perf_counter(), time.process_time()
        await once()
        walls.append(time.perf_counter() - begun)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


async def force(members: int) -> None:
    """Carry out a task of so many independent pieces.

    Raises:
        SystemExit: it was not done by so many members, so nothing is measured.
    """
    from dryad.foundation.ids import RunId  # noqa: PLC0415 - after the environment is set
    from flows.orchestrate_task import TaskForm, orchestrate_task  # noqa: PLC0415
    from tasks._services import services  # noqa: PLC0415

    text = "\n".join(f"- Explain subject {number}" for number in range(members))
    ended = await orchestrate_task(TaskForm(text=text), return_state=True)
    task = services().tasks.of_run(RunId(str(ended.state_details.flow_run_id)))
    work = task.result["work"] if task is not None and task.result else []
    if ended.name != "Completed" or len(work) != members:
        raise SystemExit(f"{len(work)} of {members} members worked: {ended.message}")


class Waiting:
    """The models of an installation whose agents answer after a wait."""

    degraded = "a script answered"
    seconds = 0.0

    def model_for(self, *_: object) -> object:
        """Return a model that waits and answers in one word."""
        from pydantic_ai.messages import (  # noqa: PLC0415 - a second of CPU
            ModelMessage,
            ModelResponse,
            TextPart,
        )
        from pydantic_ai.models.function import AgentInfo, FunctionModel  # noqa: PLC0415

        from dryad.execution.models.language import Language  # noqa: PLC0415
        from dryad.execution.models.prices import FREE  # noqa: PLC0415

        async def answer(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
            await asyncio.sleep(self.seconds)
            return ModelResponse(parts=[TextPart("Done.")])

        # It uses no tokens, so no budget is in the way of many members.
        return Language(FunctionModel(answer), price=FREE, seconds=60, degraded=self.degraded)


def prepare() -> Waiting:
    """Make the ledger and the first tenant; return its models."""
    from dryad.foundation.database import migrate  # noqa: PLC0415 - after the environment is set
    from dryad.foundation.environment import load  # noqa: PLC0415
    from dryad.foundation.provision import provision  # noqa: PLC0415
    from dryad.foundation.secrets import Secrets  # noqa: PLC0415
    from dryad.foundation.tenants import DEFAULT  # noqa: PLC0415

    Secrets.create_or_read(load()[0].secrets_path)
    from tasks._services import services  # noqa: PLC0415

    dryad = services()
    migrate.upgrade(dryad.database)
    provision(dryad.database, dryad.secrets)
    dryad.provide_tenant(DEFAULT)
    dryad.models = Waiting()
    return dryad.models


if __name__ == "__main__":
    main()
