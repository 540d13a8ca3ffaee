"""A task's flow: a force works side by side, doubt climbs a ladder, and nothing is done twice."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from prefect import State, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow_async
from prefect.states import Scheduled
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from dryad.bootstrap import Services
from dryad.execution.memories import Document
from dryad.execution.models.language import Language
from dryad.execution.models.prices import FREE
from dryad.foundation.accounts import accounts_of
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.review.reviewers import Claim
from flows.orchestrate_task import TaskForm, orchestrate_task

# Prefect leaves its connections to be collected with the loop of a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

ACME = TenantId("acme")
BULLETS = "- Explain leases\n- Explain stops\n- Explain keys\n- Explain shelves"

Says = Callable[[str, str], str | ToolCallPart]
"""What an agent answers, or calls first, from its instructions and its prompt."""

Before = Callable[[], Awaitable[object]]
"""What a model waits for before it answers."""


class Scripted:
    """The models of an installation, each answering by a script."""

    def __init__(self, says: Says, *, before: Before) -> None:
        self.degraded = "a script answered"
        self.says = says
        self.before = before
        self.objections: list[dict[str, str]] = []
        self.asked: list[str] = []

    def model_for(self, *_: object) -> Language:
        async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            prompt = str(messages[0].parts[0].content)  # type: ignore[union-attr]
            self.asked.append(prompt)
            await self.before()
            if info.output_tools:
                shape = info.output_tools[0]
                critique = {"objections": self.objections}
                wanted = critique if "objections" in str(shape.parameters_json_schema) else {}
                return ModelResponse(parts=[ToolCallPart(shape.name, wanted)])
            said = self.says(info.instructions or "", prompt)
            # A tool is called once, then the agent says that it is so.
            called = isinstance(said, ToolCallPart) and len(messages) > 1
            text = "It is so." if called else said
            return ModelResponse(parts=[TextPart(text) if isinstance(text, str) else text])

        return Language(FunctionModel(answer), price=FREE, seconds=30)


@pytest.fixture
def house(installation: Services) -> Services:
    installation.provide_tenant(ACME)
    return installation


async def at_once() -> None:
    """Let a model answer without waiting."""


def script(house: Services, says: Says, *, before: Before = at_once) -> Scripted:
    models = Scripted(says, before=before)
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
    # Each answers only once all four are at work: one after the other, none ever would.
    script(house, lambda _, __: "It is so.", before=asyncio.Barrier(4).wait)
    state, found = await carry_out(house, BULLETS)
    assert state.is_completed()
    assert [work["status"] for work in found["task"].result["work"]] == ["done"] * 4
    assert found["task"].result["ladder"] == []


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


async def test_what_a_critic_objects_to_is_done_over_and_the_report_tells_it(house: Services):
    models = script(house, lambda _, prompt: "Better." if "not accepted" in prompt else "It is so.")
    models.degraded = ""  # a model that plans and objects
    models.objections = [{"member": "researcher-2", "objection": "It says nothing of stops."}]
    _, found = await carry_out(house, BULLETS)
    result = found["task"].result
    assert [rung["member"] for rung in result["ladder"]] == ["researcher-2"]
    assert "researcher-2-again:\nBetter." in result["answer"]
    critiques = [one for one in found["force"]["messages"] if one["kind"] == "critique"]
    assert critiques[0]["content"]["objections"] == ["It says nothing of stops."]
    assert result["critique"]["tokens"] > 0
    members = sum(one["tokens"] for one in result["work"]) + result["ladder"][0]["tokens"]
    planner = house.decisions.get(ACME, found["task"].id)["planner"]["tokens"]
    assert found["task"].tokens == members + planner + result["critique"]["tokens"]
    assert "It says nothing of stops." in models.asked[-1]
    account = house.budgets.get(accounts_of(ACME, task=found["task"].id)[-1])
    assert account.lines["tokens"].spent == found["task"].tokens, "who objects is paid as well"


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


async def test_what_no_retry_helped_is_done_by_another_agent(house: Services):
    def says(_: str, prompt: str) -> str:
        if "not accepted" in prompt:
            return "It is so."
        raise ModelHTTPError(503, "scripted")

    models = script(house, says)
    state, found = await carry_out(house, "Explain leases.")
    assert state.is_completed()
    assert found["task"].result["answer"] == "It is so."
    (rung,) = found["task"].result["ladder"]
    assert rung["doubts"][0].startswith("it was stopped: no attempt came through: model ")
    assert (rung["by"], rung["outcome"]) == ("analyst", "accepted")
    assert len(models.asked) == 5, "three retries, then another agent"
    assert found["task"].tokens > 0
    steps = house.journal.steps(RunId(found["run"]))
    assert "advance/researcher-1" in [step.path for step in steps], "a replay stops there too"


@pytest.mark.parametrize("word", ["approve", "reject", "reply"])
async def test_a_stopped_part_ends_as_a_person_says(house: Services, word: str):
    models = script(house, lambda _, __: "")  # of no use, however often it is asked
    run = await _start("Explain leases.")
    assert (await _carry(run)).name == "Suspended"
    task = house.tasks.of_run(RunId(str(run.id)))
    assert task is not None
    (case,) = house.cases.of_task(ACME, task.id)
    assert "it was stopped" in case.brief
    asked = len(models.asked)
    house.cases.answer(
        ACME,
        case.id,
        decision=word,
        reason="as known",
        by=Claim("ann"),
        reply="30 s" * (word == "reply"),
    )
    ended = await _carry(run)
    done = house.tasks.find(task.id)
    assert len(models.asked) == asked
    assert (done.status, ended.name) == (
        ("rejected", "Rejected") if word == "reject" else ("done", "Completed")
    )
    assert done.result is not None
    assert [rung["step"] for rung in done.result["ladder"]] == ["another agent", "a person"]
    answer = {"approve": "(stopped: ", "reject": "", "reply": "30 s"}[word]
    assert done.result["answer"].startswith(answer)
    assert done.tokens > 0, "what came to nothing is counted as well"
    assert house.agents.get(ACME, "researcher").successes == 0
    shown = await _artifacts(run)
    assert "| researcher-1 | it was stopped" in shown["Report"]
    assert "| decided: one agent after the other" in shown["Report"]


async def test_a_plan_edited_in_the_form_is_carried_out_and_a_riskier_one_asked_again(
    house: Services,
):
    models = script(house, lambda _, __: "It is so.")
    run = await _start("Delete the old backups.")
    assert (await _carry(run)).name == "Suspended"
    task = house.tasks.of_run(RunId(str(run.id)))
    assert task is not None
    look = {
        "id": "look", "text": "Explain leases", "capability": "research",
        "tools": ["search_memory"], "after": [],
    }  # fmt: skip
    tell = {
        "id": "tell", "text": "Tell the team", "capability": "communicate", "tools": ["notify"],
        "after": ["look"],
    }  # fmt: skip
    (case,) = house.cases.of_task(ACME, task.id)
    await _fill_in(run, decision=f"edit #{case.id}", reason="only look", plan=[look, tell])
    assert (await _carry(run)).name == "Suspended"
    _, riskier = house.cases.of_task(ACME, task.id)
    assert (riskier.tier, models.asked) == ("external", [])
    assert "the edited plan uses a tool of tier external" in riskier.brief
    assert "+look: Explain leases" in riskier.brief
    assert riskier.plan == [look, tell], "the form comes filled in"
    await _fill_in(run, decision=f"edit #{riskier.id}", reason="tell nobody", plan=[look])
    assert (await _carry(run)).name == "Completed"
    (told,) = models.asked
    assert told == "Explain leases"
    done = house.tasks.find(task.id)
    assert done.result is not None
    assert [one["member"] for one in done.result["work"]] == ["researcher-1"]
    shown = (await _artifacts(run))["Report"]
    assert f"changed in the plan (question {riskier.id})" in shown
    assert "-tell: Tell the team" in shown


async def test_who_hears_of_untrusted_words_has_read_them(house: Services):
    house.librarian.shelve(
        ACME,
        Document(title="Zebra", text="Zebras are striped.", origin="z.md", provenance="untrusted"),
    )

    def says(_: str, prompt: str) -> str | ToolCallPart:
        searches = "Explain leases" in prompt and "Findings" not in prompt
        return ToolCallPart("search_memory", {"query": "zebra"}) if searches else "It is so."

    script(house, says)
    _, found = await carry_out(house, "Explain leases. Explain keys. Then compare both.")
    work = {one["member"]: one["untrusted"] for one in found["task"].result["work"]}
    assert list(work.values()) == [True, False, True], work


async def _fill_in(run: FlowRun, **values: Any) -> None:
    """Answer the open form as the Prefect UI does; the server checks it against its schema."""
    async with get_client() as client:
        given = {"approver": "", "reply": "", **values}
        answered = await client.resume_flow_run(run.id, run_input=given)
        assert answered.status.value == "ACCEPT", answered.details


async def _artifacts(run: FlowRun) -> dict[str, str]:
    async with get_client() as client:
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        found = await client.read_artifacts(artifact_filter=mine)
    return {str(artifact.description): str(artifact.data) for artifact in found}


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
