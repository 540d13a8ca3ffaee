"""A force whose process is killed goes on where it was: no finished episode is worked on again."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import get_current_settings
from prefect.states import Scheduled

from dryad.bootstrap import Services
from dryad.foundation.ids import RunId, TenantId
from flows.orchestrate_task import TaskForm, orchestrate_task
from tests.servers import wait_for

ACME = TenantId("acme")

CARRY = '''
import asyncio, json, sys, zlib
from prefect import get_client
from prefect.flow_engine import run_flow_async
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel

from dryad.execution.models.language import Language
from dryad.execution.models.prices import FREE
from flows.orchestrate_task import orchestrate_task
from tasks._services import services

RUN, LOG, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])


class Scripted:
    """Every third first answer cites what it was never shown, and is done over by another agent."""

    degraded = "a script answered"

    def model_for(self, *_):
        async def answer(messages, _info):
            prompt = str(messages[0].parts[0].content)
            with open(LOG, "a") as log:
                log.write(json.dumps(prompt) + "\\n")
            await asyncio.sleep(SECONDS * (zlib.crc32(prompt.encode()) % 100) / 100)
            subject = int(prompt.split("subject ")[1].split()[0])
            doubtful = subject % 3 == 0 and "not accepted" not in prompt
            return ModelResponse(parts=[TextPart("It is so [9]." if doubtful else "It is so.")])

        # What a killed process had reserved stays spent; a script uses no tokens.
        return Language(FunctionModel(answer), price=FREE, seconds=60, degraded=self.degraded)


async def main():
    services().models = Scripted()
    async with get_client() as client:
        run = await client.read_flow_run(RUN)
    request = orchestrate_task.validate_parameters(run.parameters)["request"]
    state = await run_flow_async(
        orchestrate_task, flow_run=run, parameters={"request": request}, return_type="state"
    )
    print(state.name, state.message, sep="\\n")

asyncio.run(main())
'''


@dataclass
class Force:
    """A run that one process after another carries, and what its agents were asked."""

    house: Services
    run: FlowRun
    log: Path
    seconds: float

    def start(self) -> "subprocess.Popen[str]":
        """Carry the run in a process of its own."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.run.id, Scheduled(), force=True)
        return subprocess.Popen(
            [sys.executable, "-c", CARRY, str(self.run.id), str(self.log), str(self.seconds)],
            env=os.environ | {"PREFECT_API_URL": str(get_current_settings().api.url)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @property
    def finished(self) -> set[str]:
        """Prompts of the episodes that are recorded."""
        steps = self.house.journal.steps(RunId(str(self.run.id)))
        members = {s.path.removeprefix("advance/") for s in steps if s.path.startswith("advance/")}
        return {_subject(member.split("-")[1], again="again" in member) for member in members}

    @property
    def asked(self) -> list[str]:
        """What agents were asked, in order."""
        prompts = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [
            _subject(prompt.split("subject ")[1].split()[0], again="not accepted" in prompt)
            for prompt in prompts
        ]


def _subject(number: str, *, again: bool) -> str:
    return f"{number} again" if again else number


@pytest.mark.parametrize(
    ("members", "kills_after", "seconds"),
    [
        pytest.param(6, (3,), 8, id="a sample"),
        pytest.param(
            24, (2, 9, 17, 25, 29), 40, id="thirty episodes or more", marks=pytest.mark.soak
        ),
    ],
)
def test_a_killed_force_repeats_no_finished_episode(
    installation: Services, tmp_path: Path, members: int, kills_after: tuple[int, ...], seconds: int
):
    installation.provide_tenant(ACME)
    text = "\n".join(f"- Explain subject {number}" for number in range(1, members + 1))
    form = TaskForm(text=text, tenant="acme")
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(orchestrate_task, parameters={"request": form.model_dump()})
    (tmp_path / "asked").touch()
    force = Force(installation, run, tmp_path / "asked", seconds)
    finished, asked = set[str](), 0
    for episodes in kills_after:
        process = force.start()
        wait_for(
            f"{episodes} episodes",
            lambda episodes=episodes: len(force.finished) >= episodes,
            seconds=300,
        )
        process.kill()
        process.communicate()
        assert not finished & set(force.asked[asked:])
        finished, asked = force.finished, len(force.asked)

    last = force.start()
    told, _ = last.communicate(timeout=600)
    assert told.startswith("Completed"), told
    assert not finished & set(force.asked[asked:]), "what was recorded is not asked again"
    doubtful = members // 3
    assert len(force.finished) == members + doubtful
    task = installation.tasks.of_run(RunId(str(run.id)))
    assert task is not None
    said = installation.forces.of_task(task.id)
    assert said is not None
    kinds = Counter(message["kind"] for message in said["messages"])
    assert kinds == {
        "proposal": members, "critique": doubtful, "refinement": doubtful, "agreement": 1,
    }  # fmt: skip
    assert [one["sequence"] for one in said["messages"]] == list(range(1, kinds.total() + 1))
    assert task.result is not None
    assert len(task.result["work"]) == members
