"""A task goes from a request to a result a person trusts; a no prevents, a yes happens once."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.servers import wait_for

LETTER = "Notify the operators that the maintenance window begins at 18:00."


@pytest.fixture(scope="module")
def receiver(installation: Installation) -> Generator[Receiver]:
    with receiving() as receiver:
        installation.dryad("tools", "configure", "notify", f'{{"url": "{receiver.url}"}}')
        yield receiver


def submit(installation: Installation, text: str, **more: Any) -> str:
    with installation.api() as api:
        answer = api.post("/api/v1/tasks", json={"text": text, **more})
        return str(answer.raise_for_status().json()["id"])


def question(installation: Installation, task: str) -> dict[str, Any]:
    """The question a task waits for."""
    installation.until(task, "waiting")
    with installation.api() as api:
        found = api.get("/api/v1/consultations").raise_for_status().json()
    return next(case for case in found["items"] if case["task"] == task)


def answer(installation: Installation, task: str, *options: str) -> None:
    case = question(installation, task)
    installation.dryad("answer", str(case["id"]), *options)


def test_the_demo_shows_one_agent_a_task_force_and_a_person(installation: Installation):
    def routes() -> dict[str, str]:
        tasks = {task["id"]: task["status"] for task in installation.json("tasks", "list")}
        decided = installation.json("decisions", "list")
        return {d["route"]: tasks[d["task"]] for d in decided if d["task"] in tasks}

    wanted = {"sequential": "done", "task_force": "done", "escalation": "waiting"}
    wait_for("the demo", lambda: routes() == wanted, seconds=120)


def test_an_answer_cites_the_documents_it_comes_from(installation: Installation):
    task = submit(installation, "What happens to a task when its flow run is suspended?")
    done = installation.until(task, "done")
    assert done["result"]["citations"]
    assert "[1]" in done["result"]["answer"]
    assert "offline" in done["result"]["degraded"]


def test_what_is_computed_was_computed_in_the_sandbox(installation: Installation):
    done = installation.until(
        submit(installation, "Calculate the mean of 12, 15, 18 and 27."), "done"
    )
    assert "18" in done["result"]["answer"]
    assert [use["tool"] for use in done["result"]["work"][0]["tools"]] == ["run_python"]


def test_a_rejected_task_sends_nothing(installation: Installation, receiver: Receiver):
    task = submit(installation, LETTER)
    answer(installation, task, "--reject", "--reason", "not today")
    ended = installation.until(task, "rejected")
    assert "not today" in ended["reason"]
    assert receiver.messages(task) == []
    # The task's row is the truth; its run still has the report to write.
    wait_for(
        "the run to end",
        lambda: run_state(installation, ended["run"])["name"] == "Rejected",
        seconds=60,
    )
    assert run_state(installation, ended["run"])["type"] == "COMPLETED"
    assert receiver.messages(task) == []


def test_an_approved_task_sends_once_what_was_shown(installation: Installation, receiver: Receiver):
    task = submit(installation, LETTER)
    case = question(installation, task)
    assert "maintenance window begins at 18:00" in case["brief"]
    answer(installation, task, "--approve", "--reason", "planned")
    installation.until(task, "done")
    assert len(receiver.messages(task)) == 1
    assert "maintenance window begins at 18:00" in receiver.messages(task)[0]


def test_an_edited_call_sends_the_edited_words_only(installation: Installation, receiver: Receiver):
    task = submit(installation, LETTER)
    edited = '{"to": "operators", "message": "The window begins at 19:00"}'
    answer(installation, task, "--edit", edited, "--reason", "an hour later")
    installation.until(task, "done")
    assert receiver.messages(task) == ["The window begins at 19:00"]


def test_a_task_from_the_form_is_marked_as_asked_by_nobody_known(installation: Installation):
    with installation.prefect() as prefect:
        path = "/deployments/name/orchestrate-task/on-demand"
        deployment = prefect.get(path).raise_for_status().json()["id"]
        created = prefect.post(
            f"/deployments/{deployment}/create_flow_run",
            json={"parameters": {"request": {"text": "Explain what the keeper does."}}},
        )
        run = created.raise_for_status().json()["id"]

    def task() -> dict[str, Any] | None:
        found = [t for t in installation.json("tasks", "list") if t["run"] == run]
        return found[0] if found else None

    wait_for("the task of the form", lambda: task() is not None, seconds=60)
    found = task()
    assert found is not None
    assert found["requester"] == "ui:unverified"
    installation.until(found["id"], "done")


@pytest.mark.parametrize(
    "request_",
    [{"text": ""}, {"text": "x", "context": {"bell": "\x07"}}],
    ids=["empty", "control character"],
)
def test_a_form_that_is_no_task_ends_refused(installation: Installation, request_: dict[str, Any]):
    with installation.prefect() as prefect:
        path = "/deployments/name/orchestrate-task/on-demand"
        deployment = prefect.get(path).raise_for_status().json()["id"]
        created = prefect.post(
            f"/deployments/{deployment}/create_flow_run", json={"parameters": {"request": request_}}
        )
    if created.status_code >= 400:
        return  # the server's own refusal
    run = created.json()["id"]
    wait_for(
        "the refusal",
        lambda: run_state(installation, run)["type"] not in {"SCHEDULED", "PENDING", "RUNNING"},
        seconds=60,
    )
    state = run_state(installation, run)
    assert (state["name"], state["type"]) == ("Refused", "COMPLETED")


def run_state(installation: Installation, run: str) -> dict[str, Any]:
    with installation.prefect() as prefect:
        return prefect.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
