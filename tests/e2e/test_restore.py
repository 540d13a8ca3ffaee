"""A restore under the supervisor, from the form in the Prefect UI to the run that reports it."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Installation
from tests.servers import wait_for


@pytest.fixture(scope="module")
def house(start: Callable[..., Installation]) -> Installation:
    """An installation of its own: it is replaced."""
    return start("restoring")


def begin(house: Installation, set_id: str) -> str:
    """Start a restore, answer its form with yes, and return its run."""
    with house.prefect() as prefect:
        found = prefect.get("/deployments/name/restore-backup/on-demand").raise_for_status()
        body = {"parameters": {"request": {"set": set_id}}, "state": {"type": "SCHEDULED"}}
        path = f"/deployments/{found.json()['id']}/create_flow_run"
        run: str = prefect.post(path, json=body).raise_for_status().json()["id"]

        def asks() -> bool:
            state = prefect.get(f"/flow_runs/{run}").json()["state"]
            assert state["type"] not in {"FAILED", "CRASHED", "COMPLETED"}, state
            return state["type"] == "PAUSED"

        wait_for("the form", asks, seconds=120)
        answer = {"decision": f"replace everything by {set_id}", "approver": "Ada"}
        taken: dict[str, Any] = {}

        def answered() -> bool:
            body = {"run_input": answer}
            taken.update(prefect.post(f"/flow_runs/{run}/resume", json=body).json())
            return taken["status"] == "ACCEPT"

        wait_for("the answer", answered, seconds=30)
    return run


def reports(house: Installation) -> list[dict[str, Any]]:
    """The runs that report restores, newest first."""
    with house.prefect() as prefect:
        wanted = {"flow_runs": {"name": {"like_": "restore-report-"}}, "sort": "START_TIME_DESC"}
        return prefect.post("/flow_runs/filter", json=wanted).raise_for_status().json()


def reported(house: Installation, count: int) -> str:
    """Wait for one more report and return what it says."""

    def there() -> bool:
        try:
            found = reports(house)
        except Exception:  # noqa: BLE001 - the server is being restarted
            return False
        return len(found) >= count and found[0]["state_type"] in {"COMPLETED", "FAILED"}

    wait_for("the report", there, seconds=300)
    return str(reports(house)[0]["state"]["message"])


def test_a_drill_recovers_beside_the_live_installation_and_leaves_nothing(house: Installation):
    made = house.json("backup", "create")["set"]
    with house.prefect() as prefect:
        found = prefect.get("/deployments/name/recovery-drill/monthly").raise_for_status().json()
        body = {"parameters": {"request": {"ask": False}}, "state": {"type": "SCHEDULED"}}
        path = f"/deployments/{found['id']}/create_flow_run"
        run = prefect.post(path, json=body).raise_for_status().json()["id"]
        state: dict[str, Any] = {}

        def ended() -> bool:
            state.update(prefect.get(f"/flow_runs/{run}").json()["state"])
            return state["type"] in {"COMPLETED", "FAILED", "CRASHED"}

        wait_for("the drill", ended, seconds=300)
    assert state["type"] == "COMPLETED", state["message"]
    assert f"set {made}: RTO 0:0" in state["message"]
    assert list(house.directory.glob("dryad-drill-*")) == []
    assert "nothing" not in house.dryad("status")
    assert "global" not in house.dryad("stop", "--list")


def test_a_restore_brings_back_the_set_and_stands_still(house: Installation):
    house.dryad("run", "Say hello", "--wait")
    made = house.json("backup", "create")["set"]
    house.dryad("tenants", "create", "later")
    assert "later" in house.dryad("tenants", "list")
    before = house.pid("dryad up")

    begin(house, made)
    assert "the restored state is in force" in reported(house, 1)
    assert house.pid("dryad up") == before, "the supervisor stays"
    assert "later" not in house.dryad("tenants", "list")
    assert "restored from backup set" in house.dryad("stop", "--list")
    assert house.dryad("audit", "verify")
    kinds = [one["kind"] for one in house.json("backup", "list")]
    assert kinds.count("safety") == 1
    with house.prefect() as prefect:
        deployments = prefect.post("/deployments/filter", json={}).json()
    assert not any(s["active"] for d in deployments for s in d["schedules"])

    assert house.dryad("run", "Say hello again", "--json", check=False) == ""
    house.dryad("lift", "global", "--confirm", "global", "--reason", "looked at")
    task = json.loads(house.dryad("run", "Say hello once more", "--json"))["id"]
    assert house.until(task, "done")


def test_killed_in_the_middle_of_a_restore_it_says_which_state_is_in_force(house: Installation):
    made = house.json("backup", "create")["set"]
    house.dryad("tenants", "create", "newer")
    begin(house, made)
    asked = house.home / "restores" / "request.json"
    wait_for("the request", lambda: asked.exists() or not house.pid("worker"), seconds=120)
    wait_for("the switch", lambda: not house.pid("Prefect server"), seconds=120)
    os.kill(house.pid("dryad up"), signal.SIGKILL)
    house.dryad("up", "--detach", seconds=300)
    said = reported(house, 2)
    restored = "restored state is in force" in said
    assert restored or "everything is as before" in said
    assert ("newer" in house.dryad("tenants", "list")) == (not restored)
    assert house.dryad("audit", "verify")
