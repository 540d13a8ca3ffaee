"""A task's flow: a force works side by side, doubt climbs a ladder, and nothing is done twice."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from prefect import State, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow_async
from prefect.states import Scheduled
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from dryad.bootstrap import Services
from dryad.execution.models.language import Language
from dryad.execution.models.prices import FREE
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.review.reviewers import Claim
from flows.orchestrate_task import TaskForm, orchestrate_task

# Prefect leaves its connections to be collected with the loop of a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

ACME = TenantId("acme")
BULLETS = "- Explain leases\n- Explain stops\n- Explain keys\n- Explain shelves"

Says = Callable[[str, str], str]
"""What an agent answers, from its instructions and its prompt."""


class Scripted:
    """The models of an installation, each answering by a script."""

    degraded = "a script answered"

    def __init__(self, says: Says, *, seconds: float = 0.0) -> None:
        self.says = says
        self.seconds = seconds
        self.asked: list[str] = []

    def model_for(self, *_: object) -> Language:
        async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            prompt = str(messages[0].parts[0].content)  # type: ignore[union-attr]
            self.asked.append(prompt)
            await asyncio.sleep(self.seconds)
            return ModelResponse(parts=[TextPart(self.says(info.instructions or "", prompt))])

        return Language(FunctionModel(answer), price=FREE, seconds=30)


@pytest.fixture
def house(installation: Services) -> Services:
    installation.provide_tenant(ACME)
    return installation


def script(house: Services, says: Says, *, seconds: float = 0.0) -> Scripted:
    models = Scripted(says, seconds=seconds)
    house.models = models  # type: ignore[assignment]
    return models


async def carry_out(house: Services, text: str, **more: Any) -> tuple[State[Any], dict[str, Any]]:
    state = await orchestrate_task(TaskForm(text=text, tenant="acme", **more), return_state=True)
    run = state.state_details.flow_run_id
    task = house.tasks.of_run(RunId(str(run)))
    assert task is not None
    return state, {"task": task, "force": house.forces.of_task(task.id), "run": str(run)}


async def test_one_agent_has_no_force_and_few_steps(house: Services):
    script(house, lambda _, __: "It is so.")
    state, found = await carry_out(house, "Explain leases.")
    assert state.is_completed()
    assert found["task"].result["answer"] == "It is so."
    assert found["task"].result["ladder"] == []
    assert found["force"] is None
    steps = [step.path for step in house.journal.steps(RunId(found["run"]))]
    assert len([path for path in steps if "/model" not in path]) <= 12


async def test_four_branches_are_worked_on_at_the_same_time(house: Services):
    script(house, lambda _, __: "It is so.", seconds=2)
    begun = time.perf_counter()
    _, found = await carry_out(house, BULLETS)
    together = time.perf_counter() - begun
    each = [work["seconds"] for work in found["task"].result["work"]]
    assert len(each) == 4
    assert together < sum(each), each


async def test_a_force_tells_in_order_what_its_members_found(house: Services):
    script(house, lambda _, prompt: f"About {prompt.rsplit(maxsplit=1)[-1]}.")
    _, found = await carry_out(house, BULLETS)
    assert found["task"].result["answer"].startswith("researcher-1:\nAbout leases.")
    force = found["force"]
    assert force["status"] == "resolved"
    assert [said["kind"] for said in force["messages"]] == ["proposal"] * 4 + ["agreement"]
    told = {said["member"]: said["content"].get("text") for said in force["messages"]}
    assert told["researcher-4"] == "About shelves."
    members = [member["member"] for member in force["members"]]
    assert force["result"]["members"] == sorted(set(members) - {"coordinator"})


async def test_an_answer_in_doubt_is_done_over_by_another_agent(house: Services):
    models = script(
        house, lambda _, prompt: "It is so." if "not accepted" in prompt else "It is so [9]."
    )
    state, found = await carry_out(house, "Explain leases.")
    assert state.is_completed()
    result = found["task"].result
    assert result["answer"] == "It is so."
    (rung,) = result["ladder"]
    assert (rung["member"], rung["by"], rung["outcome"]) == ("researcher-1", "analyst", "accepted")
    assert "cites [9]" in models.asked[1]
    said = [(one["member"], one["kind"]) for one in found["force"]["messages"]]
    assert said == [
        ("researcher-1", "proposal"), ("coordinator", "critique"),
        ("researcher-1-again", "refinement"), ("coordinator", "agreement"),
    ]  # fmt: skip
    assert house.agents.get(ACME, "researcher").runs == 1
    assert house.agents.get(ACME, "researcher").successes == 0
    assert house.agents.get(ACME, "analyst").successes == 1


async def test_what_stays_in_doubt_waits_for_a_person_and_the_force_with_it(house: Services):
    models = script(house, lambda _, __: "It is so [9].")
    run = await _start(BULLETS.partition("\n- Explain keys")[0])
    state = await _carry(run)
    assert state.name == "Suspended"
    task = house.tasks.of_run(RunId(str(run.id)))
    assert task is not None
    assert task.status == "waiting"
    (case,) = house.cases.of_task(ACME, task.id)
    assert (case.kind, "May this answer be given?" in case.brief) == ("guidance", True)
    assert _force_status(house, task.id) == "paused"
    asked = len(models.asked)
    house.cases.answer(ACME, case.id, decision="approve", reason="so it is", by=Claim("ann"))
    assert (await _carry(run)).name == "Completed"
    done = house.tasks.find(task.id)
    assert (done.status, _force_status(house, task.id)) == ("done", "resolved")
    assert done.result is not None
    assert [rung["step"] for rung in done.result["ladder"]].count("a person") == 2
    assert len(models.asked) == asked, "finished episodes are not done again"


def _force_status(house: Services, task: TaskId) -> str:
    force = house.forces.of_task(task)
    assert force is not None
    return force["status"]


async def _start(text: str) -> FlowRun:
    async with get_client() as client:  # a run without a deployment cannot be suspended
        flow = await client.create_flow(orchestrate_task)
        deployment = await client.create_deployment(flow, "on-demand")
        return await client.create_flow_run_from_deployment(
            deployment, parameters={"request": {"text": text, "tenant": "acme"}}
        )


async def _carry(run: FlowRun) -> State[Any]:
    async with get_client() as client:
        await client.set_flow_run_state(run.id, Scheduled(), force=True)
        again = await client.read_flow_run(run.id)
        parameters = orchestrate_task.validate_parameters(run.parameters)
        with suppress(Pause):  # how a run that waits leaves its process
            await run_flow_async(
                orchestrate_task,
                flow_run=again,
                parameters={"request": parameters["request"]},
                return_type="state",
            )
        state = (await client.read_flow_run(run.id)).state
    assert state is not None
    return state
