"""A stop set in the Prefect UI holds at once; lifting it wants the scope typed again."""

from typing import Any

import pytest

from tests.e2e.conftest import Installation
from tests.e2e.road import SLEEP, SLEEPER, asleep, provide_sleeper, run_state, submit
from tests.servers import wait_for


def switch(installation: Installation, **form: Any) -> dict[str, Any]:
    """Run the kill switch as the UI's form does and return how the run ended."""
    return run(installation, "stop-or-lift/on-demand", {"request": form})


def run(installation: Installation, deployment: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run a deployment and return how the run ended."""
    with installation.prefect() as prefect:
        found = prefect.get(f"/deployments/name/{deployment}").raise_for_status().json()["id"]
        created = prefect.post(
            f"/deployments/{found}/create_flow_run", json={"parameters": parameters}
        )
        made = created.raise_for_status().json()["id"]
    ended = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    wait_for(deployment, lambda: run_state(installation, made)["type"] in ended, seconds=120)
    return run_state(installation, made)


def test_while_everything_is_stopped_the_system_looks_after_itself_and_no_tool_is_called(
    installation: Installation,
):
    before = len(installation.json("backup", "list"))
    installation.dryad("stop", "global", "--reason", "enough")
    try:
        assert run(installation, "back-up/on-demand", {"request": {}})["name"] == "Completed"
        assert len(installation.json("backup", "list")) == before + 1
        with installation.api() as api:
            called = {"agent": "analyst", "arguments": {"expression": "1 + 1"}}
            refused = api.post("/api/v1/tools/calculate/execute", json=called)
        assert refused.status_code == 403
        assert "stopped (global): enough" in refused.text
    finally:
        installation.dryad("lift", "global", "--reason", "fine", "--confirm", "global")


def test_a_stopped_agent_does_nothing_until_it_is_lifted(installation: Installation):
    scope = "agent:analyst"
    assert switch(installation, action="stop", scope=scope, reason="under review")["name"] == (
        "Completed"
    )
    with installation.api() as api:
        refused = api.post("/api/v1/tasks", json={"text": "Calculate 2 * 3.", "agent": "analyst"})
    assert refused.status_code == 403
    assert "under review" in refused.text
    assert switch(installation, action="lift", scope=scope, reason="fine")["name"] == "Refused"
    assert [stop["scope"] for stop in installation.json("stop", "--list")] == [scope]
    lifted = switch(installation, action="lift", scope=scope, reason="fine", confirm=scope)
    assert lifted["name"] == "Completed"
    done = installation.until(submit(installation, "Calculate 2 * 3.", agent="analyst"), "done")
    assert "6" in done["result"]["answer"]


SCOPES = ("global", "tenant:default", "agent:sleeper", "tool:calculate", "run:{run}")


@pytest.mark.parametrize("scope", SCOPES)
def test_what_is_under_way_ends_with_its_sandbox_and_nothing_new_begins(
    installation: Installation, scope: str
):
    sleeper = provide_sleeper(installation)
    task = submit(installation, SLEEP, agent=SLEEPER)
    wait_for("the program", lambda: len(asleep(sleeper)) == 1, seconds=60)
    run = str(installation.task(task)["run"])
    scope = scope.format(run=run)
    installation.dryad("stop", scope, "--reason", "enough")
    wait_for("the program's end", lambda: not asleep(sleeper), seconds=20)
    wait_for("its process's end", lambda: not installation.carriers(run), seconds=20)
    refused = installation.until(task, "refused")
    assert f"stopped ({scope}): enough" in refused["reason"]
    if not scope.startswith(("run:", "tool:")):
        with installation.api() as api:
            body = {"text": SLEEP, "agent": SLEEPER}
            assert api.post("/api/v1/tasks", json=body).status_code == 403
    installation.dryad("lift", scope, "--reason", "fine", "--confirm", scope)
    assert scope not in [stop["scope"] for stop in installation.json("stop", "--list")]
