"""CPU of one task through `orchestrate_task`, against a bare Prefect flow with as many task runs.

    python -m benchmarks.orchestrate [--runs 10] [--planner rules|model]

Both run in this process, interleaved, against one real Prefect server; the agent's model answers
at once, so what is measured is the platform. Printed: CPU of the client (this process) and of the
server, a run, and the ratios.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from tests import servers

QUESTION = "What happens to a task when its flow run is suspended?"
PLAN = {
    "steps": [{"id": "s1", "text": QUESTION, "capability": "research", "tools": [], "after": []}]
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--planner", choices=["rules", "model"], default="rules")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        with servers.prefect(home) as server:
            os.environ |= server.environment | {
                "DRYAD_HOME": str(home / ".dryad"),
                "DRYAD_PREFECT_API_URL": server.url,
                "PREFECT_LOGGING_LEVEL": "ERROR",
            }
            asyncio.run(measure(options.runs, planner=options.planner))


async def measure(runs: int, *, planner: str) -> None:
    """Run both flows by turns and print what each cost."""
    from prefect import flow, task  # noqa: PLC0415 - after the environment is set
    from prefect.runtime import flow_run  # noqa: PLC0415

    from flows.orchestrate_task import TaskForm, orchestrate_task  # noqa: PLC0415

    prepare(planner)
    counted: list[int] = []

    async def ours() -> None:
        ended = await orchestrate_task(TaskForm(text=QUESTION), return_state=True)
        if ended.name != "Completed":
            raise SystemExit(f"the task was not done, so nothing is measured: {ended.message}")

    @task(persist_result=False)
    async def nothing(number: int) -> int:
        return number

    @flow
    async def bare(tasks: int) -> str:
        for number in range(tasks):
            await nothing(number)
        return str(flow_run.id)

    await ours()
    counted.append(task_runs())
    await bare(counted[0])
    results = {"ours": list[float](), "bare": list[float]()}
    server_cpu = {"ours": list[float](), "bare": list[float]()}
    for _ in range(runs):
        for name, once in (("ours", ours), ("bare", lambda: bare(counted[0]))):
            client, server = await cost(once)
            results[name].append(client)
            server_cpu[name].append(server)
    print(f"{counted[0]} task runs a flow run, {runs} runs each, median CPU ms a run")
    for part, figures in (("client", results), ("server", server_cpu)):
        ours_ms, bare_ms = (1000 * statistics.median(figures[n]) for n in ("ours", "bare"))
        ratio = ours_ms / bare_ms
        print(f"{part}: ours {ours_ms:7.1f}  bare flow {bare_ms:7.1f}  ratio {ratio:.2f}")
    both = [sum(pair) for pair in zip(results["ours"], server_cpu["ours"], strict=True)]
    bare_both = [sum(pair) for pair in zip(results["bare"], server_cpu["bare"], strict=True)]
    print(f"together: ratio {statistics.median(both) / statistics.median(bare_both):.2f}")


class Instant:
    """The models of an installation whose agents plan and answer at once."""

    degraded = ""

    def model_for(self, *_: object) -> object:
        """Return a model that plans one step, and does a step in one word."""
        from pydantic_ai.messages import (  # noqa: PLC0415 - a second of CPU
            ModelMessage,
            ModelResponse,
            TextPart,
            ToolCallPart,
        )
        from pydantic_ai.models.function import AgentInfo, FunctionModel  # noqa: PLC0415

        from dryad.execution.models.language import Language  # noqa: PLC0415
        from dryad.execution.models.prices import FREE  # noqa: PLC0415

        def answer(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            if info.output_tools:
                return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, PLAN)])
            return ModelResponse(parts=[TextPart("Done.")])

        return Language(FunctionModel(answer), price=FREE, seconds=10)


async def cost(once: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return the CPU seconds of this process and of the server for one run."""
    server = next(
        child
        for child in psutil.Process().children(recursive=True)
        if "server" in " ".join(child.cmdline())
    )
    before, client = sum(server.cpu_times()[:2]), time.process_time()
    await once()
    client = time.process_time() - client
    await asyncio.sleep(1.5)  # the server works off what it was sent
    return client, sum(server.cpu_times()[:2]) - before


def prepare(planner: str) -> None:
    """Make the ledger, the first tenant and one document to be found."""
    from dryad.execution.memories import Document  # noqa: PLC0415 - after the environment is set
    from dryad.foundation.database import migrate  # noqa: PLC0415
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
    if planner == "rules":
        _ = dryad.orchestrator  # made while no model is configured, so its planner is the rules
    dryad.models = Instant()
    text = "# Suspension\n\nWhen a flow run is suspended its process ends and its task waits."
    dryad.librarian.shelve(DEFAULT, Document(title="Suspension", text=text, origin="doc.md"))


def task_runs() -> int:
    """Return how many task runs the first flow run had."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        return len(client.read_task_runs())


if __name__ == "__main__":
    main()
