"""Every call is remembered once, by its own tenant, for as long as it should be."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow, VolumeRow
from dryad.foundation.errors import Conflict, NotFound
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.foundation.journal import Journal
from dryad.foundation.tool_history import Called, Errand, Outcome, ToolHistory

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = RunId("run-1")
ERRAND = Errand(ACME, TaskId("task-1"), "ada")


class Present:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Present:
    return Present()


@pytest.fixture
def history(database: Database, clock: Present) -> ToolHistory:
    with database.transaction() as session:
        for tenant in (ACME, GLOBEX):
            session.add(TenantRow(id=tenant, name=tenant, status="active", created=NOW))
    return ToolHistory(database, clock)


def called(outcome: Outcome = "done", tool: str = "add", **more: object) -> Called:
    return Called(tool, "1", "d" * 64, outcome, **more)  # pyright: ignore[reportArgumentType]


def noted(
    history: ToolHistory, database: Database, step: str, what: Called, errand: Errand = ERRAND
) -> None:
    with database.transaction() as session:
        history.noting(errand)(session, RUN, step, what)


def test_a_step_is_noted_once_however_often_it_is_met(history: ToolHistory, database: Database):
    noted(history, database, "ada/add#1", called(seconds=1.5))
    noted(history, database, "ada/add#1", called("failed", reason="later"))
    noted(history, database, "ada/add#2", called("failed", reason="no \0 sum", seconds=0.5))
    second, first = history.executions(ACME)
    assert (first.outcome, first.seconds, first.started) == ("done", 1.5, NOW - timedelta(0, 1.5))
    assert (second.step, second.reason) == ("ada/add#2", "no \N{REPLACEMENT CHARACTER} sum")
    assert (first.run, first.task, first.agent, first.digest) == (RUN, "task-1", "ada", "d" * 64)


def test_what_is_noted_stands_or_falls_with_its_step(history: ToolHistory, database: Database):
    journal = Journal(database)
    lease = journal.claim(RUN, holder="test")

    def also(session) -> None:
        history.noting(ERRAND)(session, RUN, "ada/add#1", called())
        session.execute(text("SELECT broken"))

    with pytest.raises(Exception, match="broken"):
        journal.record(lease, "ada/add", 1, {}, 3, also=also)
    assert history.executions(ACME) == []
    assert journal.find(RUN, "ada/add", 1, {}) is None


def test_a_tenant_sees_its_own_calls_alone(history: ToolHistory, database: Database):
    noted(history, database, "ada/add#1", called())
    (mine,) = history.executions(ACME)
    assert history.executions(GLOBEX) == history.sessions(GLOBEX) == []
    with pytest.raises(NotFound):
        history.find(GLOBEX, mine.id)
    assert history.find(ACME, mine.id) == mine


def test_calls_are_found_by_what_they_were_and_in_pages(history: ToolHistory, database: Database):
    for number in range(5):
        tool = "add" if number % 2 else "pay"
        noted(history, database, f"ada/x#{number}", called(tool=tool))
    assert [call.step for call in history.executions(ACME, tool="add")] == ["ada/x#3", "ada/x#1"]
    page = history.executions(ACME, limit=2)
    rest = history.executions(ACME, before=page[-1].id)
    assert [call.step for call in [*page, *rest]] == [f"ada/x#{n}" for n in (4, 3, 2, 1, 0)]
    assert history.executions(ACME, outcome="failed") == []


def test_a_session_is_all_calls_of_a_tool_by_an_agent_on_a_task(
    history: ToolHistory, database: Database
):
    other = Errand(ACME, TaskId("task-2"), "ada")
    noted(history, database, "ada/add#1", called(seconds=1))
    noted(history, database, "ada/add#2", called("failed", seconds=2))
    noted(history, database, "ada/pay#3", called(tool="pay"))
    noted(history, database, "ada/add#4", called(), other)
    with database.transaction() as session:
        session.add(
            VolumeRow(
                tenant=ACME, session=ERRAND.session("add"), task="task-1", agent="ada", tool="add",
                status="active", size_bytes=7, created=NOW, used=NOW,
            )
        )  # fmt: skip
    later, pay, add = history.sessions(ACME)
    assert (later.task, later.calls) == ("task-2", 1)
    assert (pay.tool, pay.volume) == ("pay", "")
    assert (add.calls, add.done, add.seconds, add.volume, add.volume_bytes) == (
        2, 1, 3.0, "active", 7
    )  # fmt: skip
    assert [call.session for call in history.executions(ACME, session=add.id)] == [add.id] * 2


def test_a_direct_call_is_announced_before_it_is_made_and_made_once(history: ToolHistory):
    number = history.begin(ERRAND, key="k", called=called("running"))
    assert history.find(ACME, number).outcome == "running"
    with pytest.raises(Conflict, match="key k was made already"):
        history.begin(ERRAND, key="k", called=called("running"))
    history.end(number, "done", reason="", seconds=2.5)
    assert (history.find(ACME, number).outcome, history.find(ACME, number).seconds) == ("done", 2.5)


def test_old_calls_are_forgotten_and_lost_ones_doubted(history: ToolHistory, clock: Present):
    old = history.begin(ERRAND, key="old", called=called())
    clock.now += timedelta(days=40)
    lost = history.begin(ERRAND, key="lost", called=called("running"))
    clock.now += timedelta(hours=2)
    fresh = history.begin(ERRAND, key="fresh", called=called("running"))
    assert history.settle(kept=timedelta(days=30)) == 1
    with pytest.raises(NotFound):
        history.find(ACME, old)
    assert history.find(ACME, lost).outcome == "doubtful"
    assert history.find(ACME, fresh).outcome == "running"
