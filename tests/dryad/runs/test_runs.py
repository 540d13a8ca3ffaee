"""What the run client promises, against a real Prefect server.

The server is brought into each state through its own API, so no flow has to run for it.
"""

import json
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dryad.foundation.clock import utc_now
from dryad.foundation.errors import InvalidRequest, NotFound, Unavailable
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.runs import Runs
from tests.servers import PrefectServer, free_port

TENANT = TenantId("acme")
FORM = {
    "type": "object",
    "properties": {
        "decision": {"enum": ["approve #7", "reject #7"]},
        "approver": {"type": "string"},
    },
    "required": ["decision"],
}


@pytest.fixture(scope="module")
def prefect(prefect_server: PrefectServer) -> Generator[httpx.Client]:
    """The server's own API, to look behind the client under test."""
    with prefect_server.client() as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def deployment(prefect: httpx.Client) -> Generator[None]:
    """`orchestrate-task/on-demand`, registered on a pool that no worker serves, until the end."""
    prefect.post("/work_pools/", json={"name": "dryad", "type": "process"}).raise_for_status()
    flow = prefect.post("/flows/", json={"name": "orchestrate-task"}).json()["id"]
    body = {
        "name": "on-demand",
        "flow_id": flow,
        "work_pool_name": "dryad",
        "entrypoint": "flows.orchestrate_task.orchestrate_task",
        "version": "1",
        "tags": ["main-road"],
        "enforce_parameter_schema": True,
        "parameter_openapi_schema": {
            "type": "object",
            "properties": {"request": {"type": "object"}},
            "required": ["request"],
        },
    }
    prefect.post("/deployments/", json=body).raise_for_status()
    yield
    for row in prefect.post("/deployments/filter", json={}).json():
        prefect.delete(f"/deployments/{row['id']}").raise_for_status()
    prefect.delete("/work_pools/dryad").raise_for_status()


@pytest.fixture
def runs(prefect_server: PrefectServer) -> Generator[Runs]:
    client = Runs(prefect_server.url, prefect_server.auth, patience=timedelta(seconds=2))
    yield client
    client.close()


@pytest.fixture
def run(runs: Runs) -> RunId:
    return runs.submit(TaskId(f"task_{uuid4().hex}"), TENANT)


def set_state(prefect: httpx.Client, run: RunId, kind: str, **state: Any) -> None:
    body = {"state": {"type": kind, **state}, "force": True}
    prefect.post(f"/flow_runs/{run}/set_state", json=body).raise_for_status()


def suspend(prefect: httpx.Client, run: RunId, key: str, *, form: bool = True) -> None:
    """Do what `suspend_flow_run(key=…)` does in a flow."""
    base = f"suspended-{key}"
    details = {
        "pause_key": key,
        "pause_reschedule": True,
        "run_input_keyset": {
            name: f"{base}-{name}" for name in ("schema", "response", "description")
        },
    }
    set_state(prefect, run, "PAUSED", name="Suspended", state_details=details)
    if form:
        body = {"key": f"{base}-schema", "value": json.dumps(FORM)}
        prefect.post(f"/flow_runs/{run}/input", json=body).raise_for_status()


def test_a_submitted_task_is_a_run_that_carries_only_its_id(
    runs: Runs, prefect: httpx.Client
) -> None:
    task = TaskId(f"task_{uuid4().hex}")
    run = runs.submit(task, TENANT)
    row = prefect.get(f"/flow_runs/{run}").json()
    assert row["name"] == task
    assert row["parameters"] == {"request": {"text": "", "task_id": task}}
    assert set(row["tags"]) == {"tenant:acme", f"task:{task}", "main-road"}
    assert runs.state(run).type == "SCHEDULED"


def test_submitting_a_task_again_finds_its_run(runs: Runs, prefect: httpx.Client) -> None:
    task = TaskId(f"task_{uuid4().hex}")
    found = {runs.submit(task, TENANT) for _ in range(3)}
    assert len(found) == 1
    rows = prefect.post(
        "/flow_runs/filter", json={"flow_runs": {"tags": {"all_": [f"task:{task}"]}}}
    ).json()
    assert [row["id"] for row in rows] == list(found)


def test_a_task_submitted_by_eight_threads_at_once_has_one_run(
    prefect_server: PrefectServer,
) -> None:
    runs, task = Runs(prefect_server.url, prefect_server.auth), TaskId(f"task_{uuid4().hex}")
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: runs.submit(task, TENANT), range(8)))
    assert len(found) == 1
    runs.close()


def test_parameters_that_do_not_fit_the_flow_are_refused(runs: Runs) -> None:
    with pytest.raises(InvalidRequest, match="request"):
        runs.start("orchestrate-task/on-demand", {"request": 3}, name="x", key=uuid4().hex)


def test_a_template_in_parameters_never_reaches_the_server(runs: Runs) -> None:
    hidden = {"request": {"a": [{"b": {"__prefect_kind": "jinja", "template": "{{ 1 }}"}}]}}
    with pytest.raises(InvalidRequest, match="__prefect_kind"):
        runs.start("orchestrate-task/on-demand", hidden, name="x", key=uuid4().hex)


def test_an_unregistered_deployment_says_what_to_do(runs: Runs) -> None:
    with pytest.raises(Unavailable, match="nothing/here is not registered") as caught:
        runs.start("nothing/here", {}, name="x", key="x")
    assert "dryad up" in caught.value.next_step


def test_a_deployment_that_was_deleted_and_registered_anew_is_found(
    runs: Runs, prefect: httpx.Client
) -> None:
    flow = prefect.post("/flows/", json={"name": "renewed"}).json()["id"]
    body = {"name": "on-demand", "flow_id": flow, "work_pool_name": "dryad"}
    first = prefect.post("/deployments/", json=body).json()["id"]
    runs.start("renewed/on-demand", {}, name="one", key="one")
    prefect.delete(f"/deployments/{first}").raise_for_status()
    second = prefect.post("/deployments/", json=body).json()["id"]
    run = runs.start("renewed/on-demand", {}, name="two", key="two")
    assert prefect.get(f"/flow_runs/{run}").json()["deployment_id"] == second != first


def test_the_answer_to_the_open_form_resumes_and_can_be_read_back(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    suspend(prefect, run, "q7-1")
    assert runs.state(run).pause_key == "q7-1"
    assert runs.stored_answer(run, "q7-1") is None
    before = datetime.now(UTC)
    assert runs.resume(run, "q7-1", {"decision": "approve #7"})
    state = runs.state(run)
    assert (state.type, state.name, state.pause_key) == ("SCHEDULED", "Resuming", None)
    answer = runs.stored_answer(run, "q7-1")
    assert answer is not None
    assert answer.values == {"decision": "approve #7"}
    assert before - timedelta(seconds=1) < answer.created < datetime.now(UTC)


def test_an_answer_to_a_form_that_is_not_open_changes_nothing(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    suspend(prefect, run, "q7-2")
    assert not runs.resume(run, "q7-1", {"decision": "approve #7"})
    assert runs.state(run).pause_key == "q7-2"
    assert runs.stored_answer(run, "q7-2") is None


def test_an_answer_the_form_refuses_leaves_the_question_open(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    suspend(prefect, run, "q7-1")
    with pytest.raises(InvalidRequest, match="approve #8"):
        runs.resume(run, "q7-1", {"decision": "approve #8"})
    assert runs.state(run).pause_key == "q7-1"


def test_a_key_that_begins_another_does_not_read_its_answer(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    suspend(prefect, run, "q7-11")
    runs.resume(run, "q7-11", {"decision": "approve #7"})
    assert runs.stored_answer(run, "q7-1") is None


def test_a_form_stored_a_moment_after_the_suspension_can_be_answered(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    suspend(prefect, run, "q7-1", form=False)
    store = threading.Timer(0.5, lambda: runs.store_form(run, "q7-1"))
    store.start()
    assert runs.resume(run, "q7-1", {"decision": "approve #7"})
    store.join()


def test_a_formless_run_is_given_a_form_once_and_goes_on(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    suspend(prefect, run, "q7-1", form=False)
    assert not runs.form_stored(run, "q7-1")
    with pytest.raises(Unavailable, match="schema not found"):
        runs.resume(run, "q7-1", {"approver": "dryad-wake"})
    runs.store_form(run, "q7-1")
    runs.store_form(run, "q7-1")
    assert runs.form_stored(run, "q7-1")
    assert runs.resume(run, "q7-1", {"approver": "dryad-wake"})
    assert runs.state(run).name == "Resuming"


def test_a_run_without_a_process_is_cancelled_at_once(runs: Runs, run: RunId) -> None:
    assert runs.cancel(run)
    assert runs.state(run).type == "CANCELLED"
    assert not runs.cancel(run)


def test_runs_that_ended_are_found_on_every_pool_of_ours_and_on_no_other(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    foreign = prefect.post("/flows/", json={"name": "foreign"}).json()["id"]
    ours = prefect.post("/flows/", json={"name": "orchestrate-task"}).json()["id"]
    made: list[str] = []
    for pool, flow, entrypoint in [
        ("elsewhere", ours, "flows.orchestrate_task.orchestrate_task"),
        ("theirs", foreign, "theirs.foreign"),
    ]:
        prefect.post("/work_pools/", json={"name": pool, "type": "docker"}).raise_for_status()
        body = {"name": pool, "flow_id": flow, "work_pool_name": pool, "entrypoint": entrypoint}
        row = prefect.post("/deployments/", json=body).raise_for_status().json()
        made.append(prefect.post(f"/deployments/{row['id']}/create_flow_run", json={}).json()["id"])
    for one in (run, *made):
        set_state(prefect, RunId(one), "RUNNING")
        set_state(prefect, RunId(one), "COMPLETED")
    found = set(runs.ended(utc_now() + timedelta(minutes=1)))
    for pool in ("elsewhere", "theirs"):
        prefect.delete(f"/work_pools/{pool}").raise_for_status()
    assert {run, made[0]} <= found
    assert made[1] not in found


def test_a_suspended_run_is_cancelled_at_once(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    suspend(prefect, run, "q7-1")
    assert runs.cancel(run)
    assert runs.state(run).type == "CANCELLED"


def test_a_working_run_is_cancelling_until_its_process_is_gone(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    set_state(prefect, run, "RUNNING")
    assert runs.cancel(run)
    assert runs.state(run).type == "CANCELLING"
    assert not runs.mark_crashed(run), "a run being cancelled must not be started again"
    assert runs.mark_cancelled(run)
    assert runs.state(run).type == "CANCELLED"
    assert not runs.mark_cancelled(run)


def test_a_crashed_run_is_started_again_from_the_top(
    runs: Runs, run: RunId, prefect: httpx.Client
) -> None:
    set_state(prefect, run, "RUNNING")
    assert not runs.reschedule(run), "only a crashed run may be started again"
    assert runs.mark_crashed(run, "lease lapsed")
    state = runs.state(run)
    assert (state.type, state.message, state.ended) == ("CRASHED", "lease lapsed", True)
    assert runs.reschedule(run)
    assert (runs.state(run).type, runs.state(run).name) == ("SCHEDULED", "AwaitingRetry")


@pytest.mark.parametrize("kind", ["COMPLETED", "FAILED", "SCHEDULED"])
def test_only_a_working_run_can_be_marked_crashed(
    runs: Runs, run: RunId, prefect: httpx.Client, kind: str
) -> None:
    set_state(prefect, run, kind)
    assert not runs.mark_crashed(run)
    assert runs.state(run).type == kind


def test_two_reports_of_one_crash_count_once(runs: Runs, run: RunId, prefect: httpx.Client) -> None:
    for _ in range(3):
        set_state(prefect, run, "RUNNING")
        set_state(prefect, run, "CRASHED")
    assert runs.crashes(run) == 3
    assert runs.crashes(run, apart=timedelta(hours=1)) == 1


def test_many_states_are_read_at_once_and_unknown_runs_left_out(
    runs: Runs, prefect: httpx.Client
) -> None:
    first, second = (runs.submit(TaskId(f"task_{uuid4().hex}"), TENANT) for _ in range(2))
    set_state(prefect, second, "COMPLETED", name="Rejected")
    states = runs.states([first, RunId(str(uuid4())), second])
    assert {run: state.name for run, state in states.items()} == {
        first: "Scheduled",
        second: "Rejected",
    }


def test_an_unknown_run_is_not_found(runs: Runs) -> None:
    with pytest.raises(NotFound):
        runs.state(RunId(str(uuid4())))


def test_deployments_pool_and_workers_are_listed(runs: Runs, prefect: httpx.Client) -> None:
    found = {deployment.name: deployment for deployment in runs.deployments()}
    ours = found["orchestrate-task/on-demand"]
    assert (ours.entrypoint, ours.paused, ours.version) == (
        "flows.orchestrate_task.orchestrate_task",
        False,
        "1",
    )
    assert (runs.pool().name, runs.pool().paused) == ("dryad", False)
    body = {"name": "worker-1", "heartbeat_interval_seconds": 30}
    prefect.post("/work_pools/dryad/workers/heartbeat", json=body).raise_for_status()
    (worker,) = runs.workers()
    assert (worker.name, worker.online) == ("worker-1", True)


def test_a_healthy_server_answers_a_ping(runs: Runs) -> None:
    runs.ping()


def test_a_wrong_password_is_explained_at_once(prefect_server: PrefectServer) -> None:
    runs, began = Runs(prefect_server.url, "dryad:wrong"), time.monotonic()
    with pytest.raises(Unavailable, match="password"):
        runs.ping()
    assert time.monotonic() - began < 5
    runs.close()


def test_a_server_that_is_down_is_unavailable_after_patience() -> None:
    runs = Runs(f"http://127.0.0.1:{free_port()}/api", patience=timedelta(seconds=0.5))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer"):
        runs.ping()
    assert time.monotonic() - began < 3
    runs.close()


class Locked(threading.Thread):
    """A server that is locked: 503 to the first requests, then one run's id; it counts."""

    def __init__(self, refusals: int) -> None:
        super().__init__(daemon=True)
        self.refusals, self.requests = refusals, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/api"

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                self.requests += 1
                status = "503 Busy" if self.requests <= self.refusals else "200 OK"
                body = b'{"id": "11111111-1111-1111-1111-111111111111"}'
                head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close"
                connection.sendall(head.encode() + b"\r\n\r\n" + body)


@pytest.fixture
def locked() -> Generator[Locked]:
    server = Locked(refusals=3)
    server.start()
    yield server
    server.socket.shutdown(socket.SHUT_RDWR)
    server.socket.close()
    server.join()


def test_a_locked_database_is_waited_for(locked: Locked) -> None:
    runs = Runs(locked.url, patience=timedelta(seconds=5))
    assert runs.submit(TaskId("task_1"), TENANT) == "11111111-1111-1111-1111-111111111111"
    assert locked.requests == 5  # three refusals, the deployment's id, the run's
    runs.close()
