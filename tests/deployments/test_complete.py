"""Whatever a run said and did before it ended is on the server, to the last line."""

from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from dryad.runs import Runs
from tests.servers import wait_for

LINES = 300
STEPS = LINES // 10
ENDS = {"return": "COMPLETED", "raise": "FAILED", "exit": "CRASHED"}


def pages(api: httpx.Client, kind: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = {**wanted, "limit": 200, "offset": len(found)}
        page = api.post(f"/{kind}/filter", json=body).raise_for_status().json()
        found += page
        if len(page) < 200:
            return found


def events(api: httpx.Client, run: str) -> list[tuple[str, str]]:
    """Return the names of all events in which a run had a part, with whom they are about."""
    wanted = {"any_resource": {"id": [f"prefect.flow-run.{run}"]}}
    body = {"filter": wanted, "limit": 50}
    answer = api.post("/events/filter", json=body).raise_for_status().json()
    found = list(answer["events"])
    while answer["next_page"]:
        following = answer["next_page"].partition("/api/")[2]
        answer = api.get(f"/{following}").raise_for_status().json()
        found += answer["events"]
    return [(one["event"], one["resource"]["prefect.resource.id"]) for one in found]


@pytest.mark.parametrize("end", ENDS)
def test_logs_and_events_of_a_run_are_complete(
    standing: psutil.Process, runs: Runs, api: httpx.Client, end: str
) -> None:
    parameters = {"lines": LINES, "end": end}
    run = runs.start("chatter/on-demand", parameters, name="chatter", key=uuid4().hex)
    wait_for("its end", lambda: runs.state(run).ended)
    assert runs.state(run).type == ENDS[end], runs.state(run)

    def lines() -> list[str]:
        rows = pages(api, "logs", {"logs": {"flow_run_id": {"any_": [run]}}})
        return [row["message"] for row in rows if row["message"].startswith("line ")]

    wanted = {f"line {number}" for number in range(LINES)}
    wait_for("every line", lambda: set(lines()) == wanted, seconds=20)
    assert len(lines()) == LINES, "each line once"

    def steps() -> list[str]:
        rows = pages(api, "task_runs", {"flow_runs": {"id": {"any_": [run]}}})
        return [row["state_type"] for row in rows]

    wait_for("every step", lambda: steps() == STEPS * ["COMPLETED"], seconds=20)

    def told() -> dict[str, int]:
        found = events(api, run)
        ours = [event for event, whom in found if whom == f"prefect.flow-run.{run}"]
        tasks = {whom for event, whom in found if event == "prefect.task-run.Completed"}
        return {"of the run": len(set(ours)), "of its steps": len(tasks)}

    states = [row["name"] for row in api.get(f"/flow_run_states/?flow_run_id={run}").json()]
    wait_for("every step's end", lambda: told()["of its steps"] == STEPS, seconds=20)
    names = {event for event, whom in events(api, run) if whom == f"prefect.flow-run.{run}"}
    assert {f"prefect.flow-run.{name}" for name in states} <= names
