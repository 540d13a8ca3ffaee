"""Client CPU of one agent step, and how it grows with the length of the conversation.

`python benchmarks/agent_loop.py`: an instant model and an instant tool, a real journal on SQLite,
20 and 200 steps, beside pydantic-ai's bare agent with the same model and tool.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, UsageLimits
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from dryad.execution.agent_loop import advance
from dryad.execution.episodes import Done, Episode, Limits
from dryad.execution.models.language import Language
from dryad.execution.models.prices import FREE
from dryad.execution.steps import RunSteps
from dryad.execution.tool_calls import ToolOutcome
from dryad.foundation.database import Database
from dryad.foundation.database.models import Base
from dryad.foundation.ids import RunId
from dryad.foundation.journal import Journal
from dryad.foundation.tools import Permit, ToolSpec

ECHO = ToolSpec("echo", "1", "Say it again.", "read", idempotent=True)


class Instant(Model):
    """Calls `echo` n times, then is done."""

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
        call = ToolCallPart("echo", {"text": "x" * 200}, tool_call_id=f"c{self._left}")
        return ModelResponse(parts=[call])


class Echo:
    """The one tool, always allowed."""

    def offered(self) -> Sequence[ToolSpec]:
        return [ECHO]

    def permit(self, tool: str, arguments: Mapping[str, Any], *, untrusted: bool) -> Permit:
        return Permit(ECHO, arguments, "read", needs_approval=False)

    async def call(self, step: str, permit: Permit) -> ToolOutcome:
        return ToolOutcome(dict(permit.arguments))


def ours(database: Database, calls: int, run: str) -> None:
    journal = Journal(database)
    steps = RunSteps(journal, journal.claim(RunId(run), holder="bench"), spend=lambda *_: None)
    episode = Episode(
        RunId(run), "m", 1, "Be quick.", "Go.", limits=Limits(steps=10**6, tokens=10**9)
    )
    model = Language(Instant(calls), price=FREE, seconds=60)
    done = asyncio.run(advance(episode, model=model, tools=Echo(), steps=steps))
    assert isinstance(done, Done), done
    assert done.usage.steps == 2 * calls + 1, done.usage


def bare(calls: int) -> None:
    agent = Agent(Instant(calls), instructions="Be quick.")

    @agent.tool_plain
    def echo(text: str) -> dict[str, str]:
        """Say it again."""
        return {"text": text}

    asyncio.run(agent.run("Go.", usage_limits=UsageLimits(request_limit=None)))


def cpu_ms(steps: int, work: Any) -> float:
    """Return the least CPU of three runs, in ms a step."""
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return round(best * 1000 / steps, 2)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        database = Database(f"sqlite:///{Path(place) / 'dryad.db'}")
        Base.metadata.create_all(database.engine)
        runs = iter(range(100))
        ours(database, 2, "warm")
        bare(2)
        figures = {}
        for steps in (20, 200):
            calls = steps // 2
            figures[f"ours_{steps}"] = cpu_ms(
                steps, lambda c=calls: ours(database, c, f"r{next(runs)}")
            )
            figures[f"bare_{steps}"] = cpu_ms(steps, lambda c=calls: bare(c))
        figures["slope_percent"] = round(100 * (figures["ours_200"] / figures["ours_20"] - 1), 1)
        database.close()
    json.dump(figures, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
