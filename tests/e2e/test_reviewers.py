"""Enrolled reviewers decide at the command line and over the API, and nobody else does.

What somebody forges, repeats, swaps or sends too late is looked at outside: in the receiver's
letters and in files.
"""

import json
import sqlite3
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.reviewers import Device, Reviewed, mistyped, reviewed
from tests.e2e.road import run_state
from tests.servers import wait_for

LETTER = "Notify the operators that gate {} opens."
FILE = "Write good morning to the file greeting.txt"
GREETING = {"path": "greeting.txt", "content": "good evening"}

Answer = Callable[..., bool]
"""Answers a question as a reviewer; whether the answer was taken."""


def by_cli(
    house: Reviewed, case: int, word: str, who: Device, *, code: str = "", edited: Any = None
) -> bool:
    decision = ["--edit", json.dumps(edited)] if word == "edit" else [f"--{word}"]
    signed = ["--as", who.name, "--code", code or who.code(), "--tenant", house.tenant]
    said = ["--reason", f"{who.name} says so", *signed]
    return house.installation.succeeds("answer", str(case), *decision, *said)


def by_api(
    house: Reviewed, case: int, word: str, who: Device, *, code: str = "", edited: Any = None
) -> bool:
    body = {"decision": word, "reason": f"{who.name} says so", "edited_arguments": edited}
    body |= {"approver": who.name, "code": code or who.code()}
    with house.installation.api() as api:
        path, query = f"/api/v1/consultations/{case}/answer", {"tenant": house.tenant}
        answer = api.post(path, params=query, json=body)
    assert answer.status_code in {200, 403, 409}, answer.text
    return answer.is_success


def by_form(house: Reviewed, case: dict[str, Any], word: str, who: Device, code: str) -> str:
    """Send the form as the UI does; return what the server says of it."""
    body = {"decision": f"{word} #{case['id']}", "reason": "x", "approver": who.name, "code": code}
    with house.installation.prefect() as prefect:
        answer = prefect.post(f"/flow_runs/{case['run']}/resume", json={"run_input": body})
    return str(answer.raise_for_status().json()["status"])


def force(house: Reviewed, run: str, state: str, name: str) -> None:
    with house.installation.prefect() as prefect:
        body = {"state": {"type": state, "name": name}, "force": True}
        prefect.post(f"/flow_runs/{run}/set_state", json=body).raise_for_status()


def forge(house: Reviewed, database: str, statement: str, *values: Any) -> None:
    """Write a row as somebody who got hold of the database file."""
    file = house.installation.home / database
    with closing(sqlite3.connect(file, timeout=60)) as opened, opened:
        assert opened.execute(statement, values).rowcount == 1


@pytest.fixture(scope="module")
def receiver() -> Generator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def house(installation: Installation, receiver: Receiver) -> Generator[Reviewed]:
    with reviewed(installation, receiver, tenant="reviewed") as house:
        yield house


doors = pytest.mark.parametrize("answer", [by_cli, by_api])


@doors
def test_a_yes_with_a_right_code_sends_the_letter_once(
    house: Reviewed, receiver: Receiver, answer: Answer
):
    task = house.submit(LETTER.format(1))
    case, ada, bea = house.question(task), house.enrol(), house.enrol()
    code = ada.code()
    assert not answer(house, case["id"], "approve", ada, code=mistyped(code))
    assert house.failures(ada) == 1
    assert house.case(case["id"])["verdict"] is None
    assert answer(house, case["id"], "approve", ada, code=code)
    assert house.failures(ada) == 0
    house.until(task, "done")
    assert receiver.messages(task) == ["gate 1 opens"]
    assert not answer(house, case["id"], "reject", bea)  # too late
    assert house.case(case["id"])["verdict"]["by"] == ada.name


@doors
def test_a_no_sends_nothing(house: Reviewed, receiver: Receiver, answer: Answer):
    task = house.submit(LETTER.format(2))
    case = house.question(task)
    assert answer(house, case["id"], "reject", house.enrol())
    house.until(task, "rejected")
    assert receiver.messages(task) == []


@doors
def test_an_edit_is_carried_out_once_somebody_else_agrees_to_it(house: Reviewed, answer: Answer):
    task = house.submit(FILE)
    case = house.question(task)
    assert answer(house, case["id"], "edit", house.enrol(), edited=GREETING)
    found = house.case(case["id"])
    assert found["verdict"] is None
    assert '+  "content": "good evening"' in found["brief"]
    assert house.written(task) == {}
    assert answer(house, case["id"], "approve", house.enrol())
    house.until(task, "done")
    assert house.written(task) == {"greeting.txt": "good evening"}


def test_an_edit_that_is_riskier_is_asked_about_anew(house: Reviewed):
    raised = {"when": {"properties": {"path": {"pattern": "^secret"}}}, "tier": "external"}
    tool = ("tools", "configure", "write_file", json.dumps({"raises": [raised]}))
    house.installation.dryad(*tool, "--tenant", house.tenant)
    task = house.submit(FILE)
    case, edited = house.question(task), {**GREETING, "path": "secret.txt"}
    assert by_api(house, case["id"], "edit", house.enrol(), edited=edited)
    assert by_api(house, case["id"], "approve", house.enrol())
    second = house.question(task, after=case["id"])
    assert second["tier"] == "external"
    assert '"path": "secret.txt"' in second["brief"]
    assert by_api(house, second["id"], "reject", house.enrol())
    house.until(task, "done", "rejected")
    assert house.written(task) == {}


def test_of_many_equal_answers_one_counts(house: Reviewed, receiver: Receiver):
    task = house.submit(LETTER.format(3))
    case, ada = house.question(task), house.enrol()
    code = ada.code()
    with ThreadPoolExecutor(8) as clicks:
        taken = clicks.map(lambda _: by_api(house, case["id"], "approve", ada, code=code), range(8))
    assert list(taken).count(True) == 1
    house.until(task, "done")
    assert receiver.messages(task) == ["gate 3 opens"]


def test_a_form_that_is_sent_twice_counts_once(house: Reviewed, receiver: Receiver):
    task = house.submit(LETTER.format(4))
    case = house.question(task)
    ada = house.enrol()
    code = house.codes(case["id"], ada)["approve"]
    with ThreadPoolExecutor(4) as clicks:
        said = list(clicks.map(lambda _: by_form(house, case, "approve", ada, code), range(4)))
    assert said.count("ACCEPT") == 1
    house.until(task, "done")
    assert receiver.messages(task) == ["gate 4 opens"]


def test_of_two_reviewers_at_once_one_is_heard_and_that_is_what_happens(
    house: Reviewed, receiver: Receiver
):
    task = house.submit(LETTER.format(5))
    case = house.question(task)
    said = [("approve", house.enrol()), ("reject", house.enrol())]
    with ThreadPoolExecutor(2) as both:
        taken = list(both.map(lambda one: by_api(house, case["id"], *one), said))
    assert taken.count(True) == 1
    ended = house.until(task, "done", "rejected")
    verdict = ended["cases"][0]["verdict"]
    word, who = said[taken.index(True)]
    assert (verdict["decision"], verdict["by"]) == (word, who.name)
    sent = ["gate 5 opens"] if verdict["decision"] == "approve" else []
    assert receiver.messages(task) == sent


def test_an_answer_after_the_deadline_changes_nothing(house: Reviewed, receiver: Receiver):
    task = house.submit(LETTER.format(6), budget={"answer_within_seconds": 10})
    case, ada = house.question(task), house.enrol()
    code = house.codes(case["id"], ada)["approve"]
    house.until(task, "expired")
    assert not by_api(house, case["id"], "approve", house.enrol())
    assert by_form(house, case, "approve", ada, code) != "ACCEPT"
    assert house.task(task)["status"] == "expired"
    assert receiver.messages(task) == []


def test_codes_and_answers_of_another_question_are_none(house: Reviewed, receiver: Receiver):
    tasks = [house.submit(LETTER.format(gate)) for gate in (7, 8)]
    first, second = (house.question(task) for task in tasks)
    eve = house.enrol()
    code = house.codes(first["id"], eve)["approve"]
    swapped = {**first, "run": second["run"]}  # the first one's answer, sent to the second's run
    assert by_form(house, swapped, "approve", eve, code) == "REJECT"  # the form names its case
    assert by_form(house, second, "approve", eve, code) == "ACCEPT"
    house.until_asked_again(second)
    assert "does not prove it" in house.case(second["id"])["brief"]
    # Moved within the server's own database, where the form checks nothing.
    assert by_form(house, second, "reject", eve, "AAAA-AAAA-AAAA-AAAA") == "ACCEPT"
    forge(
        house,
        "prefect/prefect.db",
        'UPDATE flow_run_input SET value = ? WHERE "key" = ?',
        json.dumps(
            {
                "decision": f"approve #{first['id']}",
                "reason": "x",
                "approver": eve.name,
                "code": code,
            }
        ),
        f"suspended-{house.forms[second['id']]}-response",
    )
    house.until_asked_again(second)
    assert house.case(second["id"])["verdict"] is None
    assert [receiver.messages(task) for task in tasks] == [[], []]
    assert by_form(house, first, "approve", eve, code) == "ACCEPT"
    house.until(tasks[0], "done")
    assert [receiver.messages(task) for task in tasks] == [["gate 7 opens"], []]


def test_rows_that_somebody_forged_let_nothing_happen(house: Reviewed, receiver: Receiver):
    tasks = [house.submit(LETTER.format(gate)) for gate in (9, 10, 11)]
    answered, decided, shown = (house.question(task) for task in tasks)
    yes = {"decision": f"approve #{answered['id']}", "reason": "x", "approver": "ada", "code": ""}
    forge(
        house,
        "prefect/prefect.db",
        'INSERT INTO flow_run_input (id, "key", value, flow_run_id) VALUES (?, ?, ?, ?)',
        str(uuid4()),
        f"suspended-{house.forms[answered['id']]}-response",
        json.dumps(yes),
        answered["run"],
    )
    force(house, answered["run"], "SCHEDULED", "Resuming")
    verdict = {
        "decision": "approve", "reason": "x", "by": "ada", "via": "ui", "at": answered["created"],
        "reply": "", "edited_arguments": None, "verified": True,
    }  # fmt: skip
    forge(
        house,
        "dryad.db",
        "UPDATE cases SET verdict = ?, status = 'resolved', closed = created, seal = ?, "
        "valid_until = due WHERE id = ?",
        json.dumps(verdict),
        "0" * 64,
        decided["id"],
    )
    forge(
        house,
        "dryad.db",
        "UPDATE cases SET question = json_set(question, '$.call.arguments.message', 'harmless') "
        "WHERE id = ?",
        shown["id"],
    )
    assert '"message": "harmless"' in house.case(shown["id"])["brief"]
    assert by_api(house, shown["id"], "approve", house.enrol())
    house.until_asked_again(answered)
    assert house.case(answered["id"])["verdict"] is None
    for task in tasks[1:]:
        settled(house, task)
    assert [receiver.messages(task) for task in tasks] == [[], [], []]


def settled(house: Reviewed, task: str) -> dict[str, Any]:
    """Return a task that ended, or that asks a person again."""

    def over() -> bool:
        found = house.task(task)
        asks = [case for case in found["cases"] if not case["verdict"]]
        return found["status"] not in {"running", "waiting"} or bool(asks)

    wait_for(f"the end of {task}", over, seconds=120)
    return house.task(task)


def test_a_state_that_somebody_forces_is_no_answer(house: Reviewed, receiver: Receiver):
    tasks = [house.submit(LETTER.format(gate)) for gate in (12, 13)]
    scheduled, completed = (house.question(task) for task in tasks)
    force(house, scheduled["run"], "SCHEDULED", "Scheduled")
    force(house, completed["run"], "COMPLETED", "Completed")
    house.until_asked_again(scheduled)
    ended = house.until(tasks[1], "failed")
    assert "without a result" in ended["reason"]
    assert not by_api(house, completed["id"], "approve", house.enrol())
    assert [receiver.messages(task) for task in tasks] == [[], []]
    assert by_api(house, scheduled["id"], "approve", house.enrol())
    house.until(tasks[0], "done")
    assert [receiver.messages(task) for task in tasks] == [["gate 12 opens"], []]
    assert run_state(house.installation, completed["run"])["type"] == "COMPLETED"


@pytest.mark.soak
def test_whatever_state_somebody_forces_only_a_yes_lets_the_call_happen(
    start: Callable[..., Installation],
):
    goes_on = ("SCHEDULED", "PENDING", "RUNNING", "CRASHED")
    ends = {"COMPLETED": "failed", "FAILED": "failed", "CANCELLED": "cancelled"}
    installation = start(
        "forced", DRYAD_LEASE="5s", DRYAD_CRASH_QUIET="3s", DRYAD_RUN_BEGINS_WITHIN="20s"
    )
    with receiving() as receiver, reviewed(installation, receiver, tenant="reviewed") as house:
        states = (*goes_on, *ends)
        tasks = {state: house.submit(LETTER.format(state.lower())) for state in states}
        asked = {state: house.question(task) for state, task in tasks.items()}
        for state, case in asked.items():
            force(house, case["run"], state, state.title())
        for state in goes_on:
            house.until_asked_again(asked[state])
        for state, status in ends.items():
            house.until(tasks[state], status)
        assert [receiver.messages(task) for task in tasks.values()] == [[] for _ in tasks]
        for state in ends:
            assert not by_api(house, asked[state]["id"], "approve", house.enrol())
        for state in goes_on:
            assert by_api(house, asked[state]["id"], "approve", house.enrol())
            house.until(tasks[state], "done")
        sent = {state: receiver.messages(task) for state, task in tasks.items()}
        assert sent == {
            **{state: [f"gate {state.lower()} opens"] for state in goes_on},
            **{state: [] for state in ends},
        }
