"""A restore under the supervisor, from the form in the Prefect UI to the run that reports it."""

import json
import os
import signal
import time
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pyotp.totp import TOTP

from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.road import LETTER, inbox, question, reply, submit
from tests.servers import wait_for

AUTOMATION = '{"task": "automation", "message": "{{ event.event }}"}'


@pytest.fixture(scope="module")
def receiver() -> Generator[Receiver]:
    """What this installation sends, by its tool or an automation of Prefect, comes here."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def house(start: Callable[..., Installation], receiver: Receiver) -> Installation:
    """An installation of its own, which is replaced; it tells the receiver of every ended run."""
    made = start("restoring")
    made.dryad("tools", "configure", "notify", json.dumps({"url": receiver.url}))
    tell_of_ended_runs(made, receiver)
    made.dryad("run", "Say hello", "--wait")
    wait_for("the automation", lambda: told(receiver) > 0, seconds=60)
    return made


def tell_of_ended_runs(house: Installation, receiver: Receiver) -> None:
    """Let Prefect's own automations call the receiver."""
    with house.prefect() as prefect:

        def post(path: str, body: dict[str, Any]) -> Any:
            return prefect.post(path, json=body).raise_for_status().json()

        kind = prefect.get("/block_types/slug/webhook").raise_for_status().json()["id"]
        wanted = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
        schema = post("/block_schemas/filter", wanted)[0]["id"]
        block = {
            "name": "receiver",
            "block_type_id": kind,
            "block_schema_id": schema,
            "data": {"method": "POST", "url": receiver.url},
        }
        called = post("/block_documents/", block)["id"]
        trigger = {
            "type": "event",
            "posture": "Reactive",
            "expect": ["prefect.flow-run.Completed"],
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "threshold": 1,
            "within": 0,
        }
        action = {"type": "call-webhook", "block_document_id": called, "payload": AUTOMATION}
        post("/automations/", {"name": "tell", "trigger": trigger, "actions": [action]})


def automate(house: Installation, *, on: bool) -> None:
    """Switch the automations on or off, as a person does in the UI."""
    with house.prefect() as prefect:
        for one in prefect.post("/automations/filter", json={}).raise_for_status().json():
            prefect.patch(f"/automations/{one['id']}", json={"enabled": on}).raise_for_status()


def told(receiver: Receiver) -> int:
    """How often an automation called."""
    return sum(letter.get("task") == "automation" for _, letter in receiver.letters)


def resume(house: Installation, run: str) -> None:
    """Answer the old form of a held run, as a page that was left open would."""
    with house.prefect() as prefect:
        answer = prefect.post(f"/flow_runs/{run}/resume", json={"run_input": {}})
        assert answer.json().get("status") != "ACCEPT", answer.text
        assert prefect.get(f"/flow_runs/{run}").json()["state_name"] == "Held"


def begin(house: Installation, set_id: str, seed: str = "") -> str:
    """Start a restore, answer its form with yes, and return its run.

    With the seed of the reviewer `ada`: first without a code, which does not count.
    """
    with house.prefect() as prefect:
        found = prefect.get("/deployments/name/restore-backup/on-demand").raise_for_status()
        body = {"parameters": {"request": {"set": set_id}}, "state": {"type": "SCHEDULED"}}
        path = f"/deployments/{found.json()['id']}/create_flow_run"
        run: str = prefect.post(path, json=body).raise_for_status().json()["id"]

        def asks(turn: int) -> bool:
            state = prefect.get(f"/flow_runs/{run}").json()["state"]
            assert state["type"] not in {"FAILED", "CRASHED", "COMPLETED"}, state
            key = (state["state_details"] or {}).get("pause_key") or ""
            return state["type"] == "PAUSED" and f"consent-{turn}" in key

        def answer(**more: str) -> None:
            said = {"decision": f"replace everything by {set_id}", **more}

            def answered() -> bool:
                taken = prefect.post(f"/flow_runs/{run}/resume", json={"run_input": said})
                return taken.json()["status"] == "ACCEPT"

            wait_for("the answer", answered, seconds=30)

        wait_for("the form", lambda: asks(1), seconds=120)
        answer(approver="ada")
        if seed:
            wait_for("the form once more", lambda: asks(2), seconds=120)
            code = TOTP(seed).now()
            given = house.json("backup", "consent", set_id, "--run", run, "--as", "ada",
                               "--code", code)  # fmt: skip
            answer(approver="ada", code=given["code"])
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


def test_a_drill_recovers_beside_the_live_installation_and_leaves_nothing(
    house: Installation, receiver: Receiver
):
    made = house.json("backup", "create")["set"]
    automate(house, on=False)  # here; they are on in the set
    before = list(receiver.letters)
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
    assert receiver.letters == before, "the scratch installation sends nothing"
    automate(house, on=True)


def test_a_restore_brings_back_the_set_stands_still_and_sends_nothing(
    house: Installation, receiver: Receiver
):
    house.dryad("run", "Say hello", "--wait")
    task = submit(house, LETTER)
    case = question(house, task)["id"]
    made = house.json("backup", "create")["set"]
    assert reply(house, case, "approve").is_success
    house.until(task, "done")
    assert len(receiver.messages(task)) == 1
    house.dryad("tenants", "create", "later")
    assert "later" in house.dryad("tenants", "list")
    before, held = house.pid("dryad up"), task

    automate(house, on=False)  # here; the set has them on
    begin(house, made)
    assert "the restored state is in force" in reported(house, 1)
    assert house.pid("dryad up") == before, "the supervisor stays"
    calls = told(receiver)
    assert "later" not in house.dryad("tenants", "list")
    assert "restored from backup set" in house.dryad("stop", "--list")
    assert house.dryad("audit", "verify")
    kinds = [one["kind"] for one in house.json("backup", "list")]
    assert kinds.count("safety") == 1
    with house.prefect() as prefect:
        deployments = prefect.post("/deployments/filter", json={}).json()
    assert not any(s["active"] for d in deployments for s in d["schedules"])

    # What was open in the set was answered and done since: nobody may do it a second time.
    assert house.task(task)["status"] == "held"
    assert inbox(house) == []
    assert reply(house, case, "approve").status_code in {403, 409}
    resume(house, house.task(task)["run"])
    assert house.dryad("run", "Say hello again", "--json", check=False) == ""
    house.dryad("validate", check=False)  # its runs end, and an automation would tell
    time.sleep(10)
    assert len(receiver.messages(task)) == 1
    assert told(receiver) == calls, "automations are off"
    house.dryad("lift", "global", "--confirm", "global", "--reason", "looked at")
    task = json.loads(house.dryad("run", "Say hello once more", "--json"))["id"]
    assert house.until(task, "done")
    house.dryad("tasks", "release", held)
    again = house.task(held)["reason"].removeprefix("submitted anew as ")
    assert question(house, again)["id"] != case, "the old yes counts for nothing"
    assert receiver.messages(again) == []
    assert told(receiver) == calls


def test_killed_in_the_middle_of_a_restore_it_says_which_state_is_in_force(house: Installation):
    with house.api() as api:
        uri = api.post("/api/v1/reviewers", json={"id": "ada"}).raise_for_status().json()["uri"]
    seed = parse_qs(urlsplit(uri).query)["secret"][0]
    made = house.json("backup", "create")["set"]
    house.dryad("tenants", "create", "newer")
    begin(house, made, seed)
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
