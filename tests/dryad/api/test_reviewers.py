"""Reviewers from the outside: operators enrol them, and only a right code answers."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pyotp.totp import TOTP

from dryad.foundation.clock import utc_now
from tests.dryad.api.conftest import House
from tests.dryad.api.test_consultations import NoForm, ask
from tests.dryad.api.test_tasks import is_problem


@pytest.fixture
def answers() -> NoForm:
    return NoForm()


def enrol(operator: httpx.Client, name: str) -> TOTP:
    made = operator.post("/api/v1/reviewers", json={"id": name, "roles": ["chief"]})
    assert made.status_code == 201
    return TOTP(parse_qs(urlsplit(made.json()["uri"]).query)["secret"][0])


def test_only_operators_enrol_and_the_seed_is_shown_once(
    acme: httpx.Client, operator: httpx.Client
):
    is_problem(acme.post("/api/v1/reviewers", json={"id": "eve"}), 403, "refused")
    is_problem(acme.get("/api/v1/reviewers"), 403, "refused")
    assert acme.get("/api/v1/reviewers/mode").json() == {"single_user": True}
    device = enrol(operator, "ada")
    assert acme.get("/api/v1/reviewers/mode").json() == {"single_user": False}
    (listed,) = operator.get("/api/v1/reviewers").json()["items"]
    assert (listed["id"], listed["roles"], listed["tenants"]) == ("ada", ["chief"], ["*"])
    assert device.secret not in operator.get("/api/v1/reviewers").text
    is_problem(operator.post("/api/v1/reviewers", json={"id": "ada"}), 409, "conflict")
    renewed = operator.post("/api/v1/reviewers/ada/renew").json()["uri"]
    assert device.secret not in renewed
    suspended = operator.put("/api/v1/reviewers/ada/status", json={"status": "suspended"})
    assert suspended.json()["status"] == "suspended"


def test_an_answer_is_signed_or_refused_and_the_question_stays_open(
    house: House, acme: httpx.Client, operator: httpx.Client
):
    case = ask(house, acme)
    device = enrol(operator, "ada")
    with house.client(house.key("acme", "review")) as reviewer:
        path = f"/api/v1/consultations/{case.id}"
        yes = {"decision": "approve", "reason": "fine"}
        is_problem(reviewer.post(f"{path}/answer", json=yes), 403, "refused")
        wrong = yes | {"approver": "ada", "code": "000000"}
        is_problem(reviewer.post(f"{path}/answer", json=wrong), 403, "refused")
        assert reviewer.get(path).json()["status"] == "pending"
        code = device.at(utc_now() - timedelta(seconds=30))
        made = reviewer.post(f"{path}/codes", json={"approver": "ada", "code": code}).json()
        assert set(made["codes"]) == {"approve", "reject", "reply"}
        own = yes | {"approver": "ada", "code": made["codes"]["approve"]}
        is_problem(acme.post(f"{path}/answer", json=own), 403, "refused")  # who asked for it
        answered = reviewer.post(f"{path}/answer", json=own).json()
        (quality,) = reviewer.get("/api/v1/reviewers/quality").json()["items"]
    assert answered["verdict"]["by"] == "ada"
    assert answered["verdict"]["verified"] is True
    assert (quality["reviewer"], quality["decisions"], quality["approval_rate"]) == ("ada", 1, 1.0)
    assert not quality["rubber_stamp"]


def test_a_second_person_is_waited_for(house: House, acme: httpx.Client, operator: httpx.Client):
    acme.put("/api/v1/policies/current", json={"rules": [{"need": "two"}]}).raise_for_status()
    case, devices = ask(house, acme), {name: enrol(operator, name) for name in ("ada", "bob")}
    assert case.needs["approvers"] == 2
    with house.client(house.key("acme", "review")) as reviewer:
        said = [
            reviewer.post(
                f"/api/v1/consultations/{case.id}/answer",
                json={
                    "decision": "approve",
                    "reason": "fine",
                    "approver": name,
                    "code": device.at(utc_now()),
                },
            ).json()
            for name, device in devices.items()
        ]
    assert [one["status"] for one in said] == ["in_progress", "resolved"]
    assert [vote["approver"] for vote in said[0]["votes"]] == ["ada"]
    assert said[1]["verdict"]["by"] == "ada, bob"
