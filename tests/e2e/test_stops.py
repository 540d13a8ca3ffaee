"""A stop set in the Prefect UI holds at once; lifting it wants the scope typed again."""

from typing import Any

from tests.e2e.conftest import Installation
from tests.e2e.test_road import run_state, submit
from tests.servers import wait_for


def switch(installation: Installation, **form: Any) -> dict[str, Any]:
    """Run the kill switch as the UI's form does and return how the run ended."""
    with installation.prefect() as prefect:
        path = "/deployments/name/stop-or-lift/on-demand"
        deployment = prefect.get(path).raise_for_status().json()["id"]
        created = prefect.post(
            f"/deployments/{deployment}/create_flow_run", json={"parameters": {"request": form}}
        )
        run = created.raise_for_status().json()["id"]
    ended = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    wait_for("the switch", lambda: run_state(installation, run)["type"] in ended, seconds=90)
    return run_state(installation, run)


def test_a_stopped_agent_does_nothing_until_it_is_lifted(installation: Installation):
    scope = "agent:analyst"
    assert switch(installation, action="stop", scope=scope, reason="under review")["name"] == (
        "Completed"
    )
    refused = installation.until(
        submit(installation, "Calculate 2 * 3.", agent="analyst"), "refused"
    )
    assert "under review" in refused["reason"]
    assert switch(installation, action="lift", scope=scope, reason="fine")["name"] == "Refused"
    assert [stop["scope"] for stop in installation.json("stop", "--list")] == [scope]
    lifted = switch(installation, action="lift", scope=scope, reason="fine", confirm=scope)
    assert lifted["name"] == "Completed"
    done = installation.until(submit(installation, "Calculate 2 * 3.", agent="analyst"), "done")
    assert "6" in done["result"]["answer"]
