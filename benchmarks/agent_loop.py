"""Client CPU of one agent step, and how it grows with the length of the conversation.

`python -m benchmarks.agent_loop`: an instant model and the calculator, 20 and 200 steps. Ours is
with everything a step asks and tells (journal, kill switches, budgets, grants, policy, history) on
SQLite; beside it pydantic-ai's bare agent, and the same agent with pydantic-ai's own durability in
a flow. Only this process's CPU is counted, the Prefect server's is not. The least of three runs;
the aim is at most 15 ms a step, and at 200 steps at most 10 % more than at 20.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, UsageLimits
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from dryad.bootstrap import Services
from dryad.execution.agent_loop import advance
from dryad.execution.arithmetic import evaluate
from dryad.execution.episodes import Done, Episode, Limits, Usage
from dryad.execution.guard import Kind
from dryad.execution.models.language import Language
from dryad.execution.models.prices import FREE
from dryad.execution.steps import RunSteps
from dryad.execution.toolbox import Errand, GrantedTools
from dryad.foundation.accounts import accounts_of
from dryad.foundation.database.migrate import upgrade
from dryad.foundation.environment import load
from dryad.foundation.ids import RunId, TaskId
from dryad.foundation.provision import provision
from dryad.foundation.secrets import Secrets
from dryad.foundation.tenants import DEFAULT
from tests import servers

AGENT, TOOL = "analyst", "calculate"
ARGUMENTS = {"expression": "6 * 7"}


class Instant(Model):
    """Calls the calculator n times, then is done."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self._left = calls

    @property
    def model_name(self) -> str:
        return "instant"

    @property
    def system(self) -> str:
        return "instant"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        self._left -= 1
        if self._left < 0:
            return ModelResponse(parts=[TextPart("done")])
        call = ToolCallPart(TOOL, ARGUMENTS, tool_call_id=f"c{self._left}")
        return ModelResponse(parts=[call])


@dataclass(frozen=True)
class Governed:
    """Kill switches and budgets of one run, as `tasks/_guard.py` asks them."""

    house: Services
    run: RunId
    accounts: tuple[str, ...]

    def check(self, kind: Kind, name: str) -> None:
        tool = name if kind == "tool" else None
        self.house.stops.check(DEFAULT, agent=AGENT, tool=tool, run=self.run)

    def reserve(self, kind: Kind, most: Usage) -> str:
        return self.house.budgets.reserve(self.accounts, amounts(kind, most)).id

    def settle(self, ticket: str, kind: Kind, used: Usage | None) -> None:
        self.house.budgets.settle(ticket, None if used is None else amounts(kind, used))


def amounts(kind: Kind, usage: Usage) -> dict[str, Any]:
    counted = "requests" if kind == "model" else "tool_calls"
    return {"tokens": usage.tokens, "cost_usd": usage.cost_usd, counted: usage.steps}


def ours(house: Services, run: RunId) -> Callable[[int], Awaitable[None]]:
    errand = Errand(DEFAULT, TaskId(run), AGENT)

    async def work(calls: int) -> None:
        accounts = accounts_of(DEFAULT, project="", task=errand.task, agent="m")
        house.budgets.open(accounts, {})
        done = await advance(
            Episode(run, "m", 1, "Be quick.", "Go.", limits=Limits(steps=10**6, tokens=10**9)),
            model=Language(Instant(calls), price=FREE, seconds=60),
            tools=GrantedTools(
                house.tools,
                house.toolbox,
                errand,
                policy=lambda: house.policies.current(DEFAULT),
                heard_by=frozenset,
                role=house.agents.get(DEFAULT, AGENT).role,
            ),
            steps=RunSteps(
                house.journal,
                house.journal.claim(run, holder="bench"),
                spend=house.cases.spend,
                note=house.tool_history.noting(errand),
            ),
            guard=Governed(house, run, accounts),
        )
        if not isinstance(done, Done) or done.usage.steps != 2 * calls + 1:
            raise SystemExit(f"not what was to be measured: {done}")

    return work


def agent(calls: int, **more: Any) -> Agent:
    made = Agent(Instant(calls), instructions="Be quick.", **more)

    @made.tool_plain
    def calculate(expression: str) -> dict[str, float]:
        """Calculate."""
        return {"value": float(evaluate(expression))}

    return made


async def bare(calls: int) -> None:
    await agent(calls).run("Go.", usage_limits=UsageLimits(request_limit=None))


async def durable(calls: int) -> None:
    """The same agent, each of its steps a task of Prefect."""
    from prefect import flow  # noqa: PLC0415 - after the environment is set
    from pydantic_ai.durable_exec.prefect import PrefectDurability  # noqa: PLC0415

    made = agent(calls, name="bench", capabilities=[PrefectDurability()])

    @flow
    async def run() -> None:
        await made.run("Go.", usage_limits=UsageLimits(request_limit=None))

    await run()


def cpu_ms(steps: int, work: Callable[[], Awaitable[None]]) -> float:
    """Return the least CPU of three runs, in ms a step."""

    async def once() -> float:
        started = time.process_time()
        await work()
        return time.process_time() - started

    return round(min(asyncio.run(once()) for _ in range(3)) * 1000 / steps, 2)


def opened() -> Services:
    """Return an installation with its tools and agents."""
    Secrets.create_or_read(load()[0].secrets_path)
    from tasks._services import services  # noqa: PLC0415 - after the environment is set

    house = services()
    upgrade(house.database)
    provision(house.database, house.secrets)
    house.provide_tenant(DEFAULT)
    return house


def measure(house: Services) -> dict[str, float]:
    runs, figures = iter(range(100)), dict[str, float]()

    async def governed(calls: int) -> None:
        await ours(house, RunId(f"run-{next(runs)}"))(calls)

    for name, work in (("ours", governed), ("bare", bare), ("durable", durable)):
        asyncio.run(work(2))
        for steps in (20, 200):
            figures[f"{name}_{steps}"] = cpu_ms(steps, lambda w=work, n=steps // 2: w(n))
        slope = figures[f"{name}_200"] / figures[f"{name}_20"] - 1
        figures[f"{name}_slope_percent"] = round(100 * slope, 1)
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory() as place, servers.prefect(Path(place)) as server:
        os.environ |= server.environment | {
            "DRYAD_HOME": str(Path(place) / ".dryad"),
            "PREFECT_LOGGING_LEVEL": "ERROR",
        }
        json.dump(measure(opened()), sys.stdout, indent=2)
        print()


if __name__ == "__main__":
    main()
