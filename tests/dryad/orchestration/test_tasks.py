"""A task is recorded once, ends once, and belongs to one tenant."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.database.models import AgentRow, AuditRow, TaskRow, TenantRow
from dryad.foundation.errors import Conflict, InvalidRequest, NotFound, Refused
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.tasks import ENDS, Request, TaskLimits, Tasks

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Hands:
    """A clock one sets by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def tasks(database: Database, tmp_path: Path, hands: Hands) -> Tasks:
    with database.transaction() as session:
        for tenant, status in ((ACME, "active"), (GLOBEX, "active"), ("gone", "closed")):
            session.add(TenantRow(id=tenant, name=tenant, status=status, created=START))
        session.flush()
        for agent, status in (("analyst", "active"), ("asleep", "inactive")):
            session.add(
                AgentRow(
                    tenant=ACME, id=agent, name=agent, role="r", goal="", instructions="",
                    capabilities={}, model={}, status=status, created=START,
                )
            )  # fmt: skip
    audit = Audit(database, b"k" * 32, tmp_path / "heads", hands)
    return Tasks(database, hands, audit=audit)


def ask(**changes: Any) -> Request:
    return Request(**({"tenant": ACME, "text": "Sum the figures"} | changes))


def rows(database: Database) -> int:
    with database.reading() as session:
        return len(session.scalars(select(TaskRow)).all())


def events(database: Database) -> list[tuple[str, str]]:
    with database.reading() as session:
        chain = session.scalars(select(AuditRow).order_by(AuditRow.sequence))
        return [(row.event, row.subject) for row in chain]


def deep(levels: int) -> dict[str, Any]:
    return {"a": deep(levels - 1)} if levels > 1 else {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"text": ""}, "empty"),
        ({"text": " \n\t\u2003"}, "empty"),
        ({"text": "x" * 100_001}, "100,001 bytes"),
        ({"text": "é" * 50_001}, "100,002 bytes"),
        ({"text": "a\x00b"}, "NUL at character 1"),
        ({"text": "\x7fELF\x02\x01"}, "U\\+007F"),
        ({"text": "a\ud800"}, "lone surrogate"),
        ({"text": 5}, "must be a string"),
        ({"context": ["a"]}, "must be a JSON object, not a list"),
        ({"context": None}, "not null"),
        ({"context": deep(22)}, "too deep"),
        ({"context": {"a": "x" * 200_000}}, "the limit is 200,000"),
        ({"context": {"a": float("nan")}}, "nan"),
        ({"context": {"a": "b\x00"}}, "NUL"),
        ({"context": {"a\x00": 1}}, "NUL"),
        ({"context": {"a": 2**70}}, "not JSON"),
        ({"context": {1: 2}}, "not JSON"),
        ({"context": {"__prefect_kind": "jinja"}}, "__prefect_kind"),
        ({"context": {"a": [[{"b": {"__prefect_kind": "jinja"}}]]}}, "__prefect_kind"),
        ({"budget": {"tokens": 200_001}}, "at most 200,000"),
        ({"budget": {"tokens": 0}}, "above 0"),
        ({"budget": {"tokens": 1.5}}, "whole number"),
        ({"budget": {"tokens": True}}, "whole number"),
        ({"budget": {"cost_usd": "1"}}, "must be a number"),
        ({"budget": {"euros": 1}}, "euros"),
        ({"agent": "No Such/Agent"}, "the agent must be"),
        ({"idempotency_key": "a b"}, "idempotency key"),
        ({"idempotency_key": "k" * 201}, "idempotency key"),
    ],
)
def test_bad_input_is_refused_before_anything_happened(
    tasks: Tasks, database: Database, changes: dict[str, Any], says: str
):
    with pytest.raises(InvalidRequest, match=says):
        tasks.submit(ask(**changes))
    assert (rows(database), events(database)) == (0, [])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"tenant": "nobody"}, NotFound),
        ({"tenant": "gone"}, Refused),
        ({"agent": "nobody"}, NotFound),
        ({"agent": "asleep"}, Refused),
        ({"agent": "analyst", "tenant": GLOBEX}, NotFound),
    ],
)
def test_who_is_not_there_gets_no_task(
    tasks: Tasks, database: Database, changes: dict[str, Any], error: type[Exception]
):
    with pytest.raises(error):
        tasks.submit(ask(**changes))
    assert (rows(database), events(database)) == (0, [])


@pytest.mark.parametrize(
    "text",
    ["שלום עולם: סכם את הנתונים", "\u202eright to left", "line\n" * 10_000, "x" * 100_000, "👩‍🔬"],
)
def test_unusual_text_is_text(tasks: Tasks, text: str):
    task = tasks.submit(ask(text=text, context=deep(20)))
    assert tasks.get(ACME, task.id).text == text


def test_a_key_names_one_task_and_refuses_another_body(tasks: Tasks, database: Database):
    first = tasks.submit(ask(idempotency_key="k", context={"a": 1, "b": 2}))
    again = tasks.submit(ask(idempotency_key="k", context={"b": 2, "a": 1}, requester="key:other"))
    assert (again.id, first.replayed, again.replayed) == (first.id, False, True)
    with pytest.raises(Conflict, match=first.id):
        tasks.submit(ask(idempotency_key="k", text="Something else"))
    assert tasks.submit(ask(idempotency_key="k", tenant=GLOBEX)).id != first.id
    assert tasks.submit(ask()).id != tasks.submit(ask()).id
    assert rows(database) == 4


def test_a_key_used_by_many_at_once_makes_one_task(tasks: Tasks, database: Database):
    found: list[TaskId] = []
    start = threading.Barrier(8)

    def submit() -> None:
        start.wait()
        found.append(tasks.submit(ask(idempotency_key="k")).id)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [event for event, _ in events(database)] == ["task_submitted"]


def test_the_first_end_stays_and_is_audited_once(tasks: Tasks, database: Database):
    task = tasks.submit(ask()).id
    tasks.set_status(task, "running")
    done = tasks.finish(task, "done", result={"answer": "42"})
    assert done.ended
    assert tasks.finish(task, "done", result={"answer": "43"}).result == {"answer": "42"}
    for other in (*(ENDS - {"done"}), "running", "waiting", "submitted", "held"):
        with pytest.raises(Conflict, match="cannot become"):
            tasks.set_status(task, other)
    with pytest.raises(Conflict):
        tasks.cancel(ACME, task, actor="key:1")
    assert tasks.get(ACME, task).status == "done"
    assert events(database) == [("task_submitted", task), ("task_finished", task)]


def test_a_task_cannot_be_done_before_it_ran_or_while_it_waits(tasks: Tasks):
    task = tasks.submit(ask()).id
    for early in ("done", "waiting", "rejected"):
        with pytest.raises(Conflict):
            tasks.set_status(task, early)
    tasks.set_status(task, "running")
    tasks.set_status(task, "waiting", reason="question 3")
    assert tasks.get(ACME, task).reason == "question 3"
    with pytest.raises(Conflict):
        tasks.finish(task, "done")
    tasks.set_status(task, "running")
    assert tasks.finish(task, "rejected").finished is not None


def test_a_held_task_begins_anew_with_a_new_run(tasks: Tasks):
    task = tasks.submit(ask()).id
    tasks.sent(task, RunId("run-1"))
    tasks.set_status(task, "held")
    assert tasks.unsent() == []
    tasks.set_status(task, "submitted")
    assert [found.id for found in tasks.unsent()] == [task]


def test_an_end_joins_the_callers_transaction(tasks: Tasks, database: Database):
    task = tasks.submit(ask()).id
    session = database.transaction()
    tasks.finish(task, "failed", session=session.__enter__())
    assert not session.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert tasks.get(ACME, task).status == "submitted"
    assert events(database) == [("task_submitted", task)]


def test_a_task_is_sent_to_one_run(tasks: Tasks):
    first, second = tasks.submit(ask()).id, tasks.submit(ask()).id
    started = tasks.submit(ask(run=RunId("from-the-form"))).id
    assert {task.id for task in tasks.unsent()} == {first, second}
    tasks.sent(first, RunId("run-1"))
    tasks.sent(first, RunId("run-1"))
    with pytest.raises(Conflict, match="run-1"):
        tasks.sent(first, RunId("run-2"))
    assert [task.id for task in tasks.unsent()] == [second]
    found = tasks.of_run(RunId("from-the-form"))
    assert found is not None
    assert found.id == started
    assert tasks.of_run(RunId("nobody")) is None


def test_pages_go_from_new_to_old_within_one_tenant(tasks: Tasks, hands: Hands):
    made: list[TaskId] = []
    for number in range(5):
        hands.now = START + timedelta(seconds=number // 2)  # two share their time
        made.append(tasks.submit(ask()).id)
    tasks.submit(ask(tenant=GLOBEX))
    tasks.finish(made[0], "failed")
    first = tasks.list(ACME, limit=2)
    rest = tasks.list(ACME, before=first[-1].id)
    assert {task.id for task in first + rest} == set(made)
    assert len(first + rest) == 5
    assert [task.created for task in first + rest] == sorted(
        (task.created for task in first + rest), reverse=True
    )
    assert [task.id for task in tasks.list(ACME, status="failed")] == [made[0]]
    with pytest.raises(NotFound):
        tasks.list(GLOBEX, before=made[0])


def test_another_tenants_task_is_not_found(tasks: Tasks):
    task = tasks.submit(ask()).id
    with pytest.raises(NotFound):
        tasks.get(GLOBEX, task)
    with pytest.raises(NotFound):
        tasks.cancel(GLOBEX, task, actor="key:2")
    assert tasks.find(task).status == "submitted"
    with pytest.raises(NotFound):
        tasks.set_status(TaskId("nothing"), "running")


def test_what_steps_spend_adds_up(tasks: Tasks):
    task = tasks.submit(ask()).id
    tasks.usage(task, tokens=100, cost_usd=0.25)
    tasks.usage(task, tokens=20, cost_usd=0.5)
    found = tasks.get(ACME, task)
    assert (found.tokens, found.cost_usd) == (120, 0.75)


def test_a_clock_set_back_does_not_turn_a_task_round(tasks: Tasks, hands: Hands):
    task = tasks.submit(ask()).id
    hands.now = START - timedelta(hours=1)
    ended = tasks.finish(task, "failed")
    assert ended.created <= ended.updated
    assert ended.finished == ended.updated


def test_counts_say_how_all_tasks_stand(tasks: Tasks):
    tasks.submit(ask())
    tasks.submit(ask(tenant=GLOBEX))
    tasks.finish(tasks.submit(ask()).id, "refused")
    assert tasks.counts() == {"submitted": 2, "refused": 1}


def test_a_narrower_installation_is_obeyed(database: Database, tasks: Tasks, tmp_path: Path):
    audit = Audit(database, b"k" * 32, tmp_path / "heads", lambda: START)
    narrow = Tasks(database, audit=audit, limits=TaskLimits(text_bytes=5))
    with pytest.raises(InvalidRequest, match="the limit is 5"):
        narrow.submit(ask(text="sixsix"))
