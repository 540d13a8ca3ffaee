"""Questions from the outside: seen by reviewers of the tenant, answered once, followed live."""

import itertools
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest

from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.review.questions import Case, Question
from tests.dryad.api.conftest import House
from tests.dryad.api.test_tasks import is_problem
from tests.servers import wait_for

RUN = RunId("3c9f2a2e-0000-4000-8000-000000000000")


class NoForm:
    """Nobody answered in a form."""

    def stored_answer(self, run: RunId, key: str) -> None:
        return None


@pytest.fixture
def answers() -> NoForm:
    return NoForm()


def ask(house: House, client: httpx.Client, ordinal: int = 1) -> Case:
    task = client.post("/api/v1/tasks", json={"text": "Send it"}).json()
    house.services.tasks.set_status(TaskId(task["id"]), "running")
    return house.services.cases.settle(
        Question(
            tenant=TenantId(task["tenant"]),
            task=TaskId(task["id"]),
            run=RUN,
            member="analyst-1",
            ordinal=ordinal,
            kind="approval",
            tier="external",
            requester=task["requester"],
            title="Send the report",
            why="it leaves the house",
            action="send",
            call={"tool": "webhook", "version": "1", "arguments": {"to": "a"}},
        )
    )


def test_a_reviewer_reads_and_answers_once(house: House, acme: httpx.Client):
    case = ask(house, acme)
    listed = acme.get("/api/v1/consultations").json()["items"]
    assert [item["id"] for item in listed] == [case.id]
    assert "Send the report" in listed[0]["brief"]
    path = f"/api/v1/consultations/{case.id}"
    no_reason = {"decision": "approve", "reason": " "}
    is_problem(acme.post(f"{path}/answer", json=no_reason), 400, "invalid_request")
    yes = {"decision": "edit", "reason": "to b", "edited_arguments": {"to": "b"}}
    answered = acme.post(f"{path}/answer", json=yes).json()
    assert answered["status"] == "resolved"
    assert answered["verdict"]["edited_arguments"] == {"to": "b"}
    assert answered["verdict"]["by"].startswith("key:")
    late = {"decision": "reject", "reason": "no"}
    is_problem(acme.post(f"{path}/answer", json=late), 409, "conflict")
    assert acme.get("/api/v1/consultations").json()["items"] == []
    assert acme.get(path).json()["verdict"]["decision"] == "edit"
    task = acme.get(f"/api/v1/tasks/{case.task}").json()
    assert [item["id"] for item in task["cases"]] == [case.id]


def test_another_tenants_question_does_not_exist(
    house: House, acme: httpx.Client, globex: httpx.Client, operator: httpx.Client
):
    case = ask(house, acme)
    path = f"/api/v1/consultations/{case.id}"
    is_problem(globex.get(path), 404, "not_found")
    yes = {"decision": "approve", "reason": "mine now"}
    is_problem(globex.post(f"{path}/answer", json=yes), 404, "not_found")
    assert globex.get("/api/v1/consultations").json()["items"] == []
    is_problem(globex.get("/api/v1/consultations", params={"everywhere": True}), 403, "refused")
    everywhere = operator.get("/api/v1/consultations", params={"everywhere": True}).json()
    assert [item["tenant"] for item in everywhere["items"]] == ["acme"]
    assert acme.get(path).json()["verdict"] is None


def test_cancelling_a_task_closes_its_questions(house: House, acme: httpx.Client):
    case = ask(house, acme)
    acme.post(f"/api/v1/tasks/{case.task}/cancel")
    assert acme.get("/api/v1/consultations").json()["items"] == []
    assert house.services.cases.get(TenantId("acme"), case.id).status == "cancelled"


def test_the_stream_tells_what_opens_and_what_closes(house: House, acme: httpx.Client):
    first = ask(house, acme)
    heard: list[tuple[str, str]] = []

    def listen() -> None:
        with (
            house.client(house.key("acme", "review")) as client,
            client.stream("GET", "/api/v1/consultations/events?seconds=20") as stream,
        ):
            assert stream.headers["content-type"].startswith("text/event-stream")
            for event in sent(stream.iter_lines()):
                heard.append(event)
                if event[0] == "closed":
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    wait_for("the open question", lambda: len(heard) == 1, seconds=10)
    second = ask(house, acme, ordinal=2)
    wait_for("the new question", lambda: len(heard) == 2, seconds=10)
    acme.post(
        f"/api/v1/consultations/{first.id}/answer", json={"decision": "reject", "reason": "no"}
    )
    listener.join(timeout=10)
    assert [name for name, _ in heard] == ["opened", "opened", "closed"]
    assert [json.loads(data)["id"] for _, data in heard[:2]] == [first.id, second.id]
    assert heard[2][1] == str(first.id)


def test_who_was_cut_off_hears_what_came_and_went_meanwhile(house: House, acme: httpx.Client):
    closed, stays = ask(house, acme), ask(house, acme, ordinal=2)
    path, last = "/api/v1/consultations/events?seconds=60", ""
    with acme.stream("GET", path) as stream:
        for line in stream.iter_lines():
            last = line.removeprefix("id: ") if line.startswith("id: ") else last
            if last and not line:
                break
    no = {"decision": "reject", "reason": "no"}
    acme.post(f"/api/v1/consultations/{closed.id}/answer", json=no).raise_for_status()
    new = ask(house, acme, ordinal=3)
    with acme.stream("GET", path, headers={"Last-Event-ID": last}) as stream:
        heard = list(itertools.islice(sent(stream.iter_lines()), 3))
    # What was quite new when the line broke is told twice, rather than missed.
    assert [json.loads(data)["id"] for _, data in heard[:2]] == [stays.id, new.id]
    assert heard[2] == ("closed", str(closed.id))
    later = (datetime.fromisoformat(last) + timedelta(seconds=60)).isoformat()
    with acme.stream("GET", path, headers={"Last-Event-ID": later}) as stream:
        assert list(itertools.islice(stream.iter_lines(), 3)) == [": here", "", ": still here"]
    with acme.stream("GET", path) as stream:
        afresh = list(itertools.islice(sent(stream.iter_lines()), 2))
    assert [json.loads(data)["id"] for _, data in afresh] == [stays.id, new.id]
    odd = acme.get(path, headers={"Last-Event-ID": "yesterday"})
    is_problem(odd, 400, "invalid_request")


def test_the_stream_of_a_tenant_tells_nothing_of_others_and_shows_that_it_lives(
    house: House, acme: httpx.Client, globex: httpx.Client, operator: httpx.Client
):
    ask(house, acme)
    path = "/api/v1/consultations/events"
    with globex.stream("GET", f"{path}?seconds=30") as stream:
        for line in stream.iter_lines():
            assert not line or line.startswith(":"), line
            if line == ": still here":
                break
    is_problem(globex.get(path, params={"everywhere": True}), 403, "refused")
    with house.client(house.key("acme", "tasks:read")) as reader:
        is_problem(reader.get(path), 403, "refused")
    with operator.stream("GET", path, params={"everywhere": True}) as stream:
        _, told = next(sent(stream.iter_lines()))
    assert json.loads(told)["tenant"] == "acme"


def sent(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, line.removeprefix("data: ")


def test_who_asked_and_reviewers_talk_about_a_question_and_strangers_do_not(
    house: House, acme: httpx.Client, globex: httpx.Client
):
    case = ask(house, acme)
    path = f"/api/v1/consultations/{case.id}/messages"
    assert acme.post(path, json={"text": "It moved to Monday."}).status_code == 201  # who asked
    with house.client(house.key("acme", "review", "tasks:read")) as reviewer:
        assert reviewer.post(path, json={"text": "Why?"}).status_code == 201
    with house.client(house.key("acme", "tasks:read")) as other:
        is_problem(other.post(path, json={"text": "Me too"}), 403, "refused")
    is_problem(globex.post(path, json={"text": "Hello"}), 404, "not_found")
    said = acme.get(path).json()["items"]
    assert [one["text"] for one in said] == ["It moved to Monday.", "Why?"]
    shown = acme.get(f"/api/v1/consultations/{case.id}").json()
    assert shown["status"] == "in_progress"
    assert "It moved to Monday." in shown["brief"]
