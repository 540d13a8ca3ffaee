"""What may not be called is not called, whoever asks and however; and no secret comes along."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from dryad.execution.agents import AgentSpec
from dryad.execution.episodes import to_json
from dryad.foundation.database.models import Base, GrantRow, TenantRow, ToolRow
from dryad.foundation.ids import TenantId
from dryad.foundation.tools import ToolSpec
from tests.dryad.execution.conftest import ACME, Desk, done_by, episode, talking_to
from tests.web import Received, Server, reply, scripted, serve

GLOBEX = TenantId("globex")
SECRET = "planted-0123456789"
PING = ToolSpec(
    "ping", "1", "Ping the server.", "read", kind="http",
    config={"method": "GET", "base": "", "path": "/ping", "places": {}},
)  # fmt: skip


def registered(desk: Desk, server: Server, **more: Any) -> ToolSpec:
    host = server.url.removeprefix("http://")
    config = {**PING.config, "base": server.url, "private_hosts": [host], **more}
    return desk.tools.register(ACME, replace(PING, config=config))


def ungranted(desk: Desk) -> None:
    """Nobody was granted it."""


def revoked(desk: Desk) -> None:
    desk.tools.grant(ACME, "messenger", "ping")
    desk.tools.revoke(ACME, "messenger", "ping")


def expired(desk: Desk) -> None:
    desk.tools.grant(ACME, "messenger", "ping")
    with desk.database.transaction() as session:
        row = session.scalars(select(GrantRow).where(GrantRow.tool == "ping")).one()
        row.expires = datetime.now(UTC) - timedelta(seconds=1)


def deprecated(desk: Desk) -> None:
    desk.tools.grant(ACME, "messenger", "ping")
    desk.tools.set_status(ACME, "ping", "1", "deprecated")


def unknown(desk: Desk) -> None:
    desk.tools.grant(ACME, "messenger", "ping")
    with desk.database.transaction() as session:
        session.delete(session.get_one(ToolRow, (ACME, "ping", "1")))


def of_another_tenant(desk: Desk) -> None:
    """The other tenant's agent of the same name and role may call its own tool of that name."""
    spec = desk.tools.get(ACME, "ping")
    with desk.database.transaction() as session:
        created = datetime(2026, 1, 1, tzinfo=UTC)
        session.add(TenantRow(id=GLOBEX, name=GLOBEX, status="active", created=created))
        session.delete(session.get_one(ToolRow, (ACME, "ping", "1")))
    desk.tools.register(GLOBEX, spec)
    desk.tools.grant(GLOBEX, "messenger", "ping")


def granted_to_a_colleague(desk: Desk) -> None:
    """What one seat of a force may do, another may not."""
    desk.tools.grant(ACME, "researcher", "ping")
    desk.tools.grant(ACME, "researcher", "ping", principal_type="role")


REASONS = [
    ungranted, revoked, expired, deprecated, unknown, of_another_tenant, granted_to_a_colleague
]  # fmt: skip


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.__name__)
async def test_a_model_that_calls_it_all_the_same_is_refused(desk: Desk, reason: Any):
    with serve(lambda handler, *_: reply(handler, 200, {})) as server:
        registered(desk, server)
        reason(desk)
        with serve(scripted([("ping", {})], "I tried.")) as provider:
            done = await done_by(desk, talking_to(provider.url), episode("Ping.", "messenger"))
    assert done.output == "I tried."
    assert server.received == []
    offered = [tool["function"]["name"] for tool in provider.received[0].body["tools"]]
    assert "ping" not in offered
    assert {call.outcome for call in desk.history.executions(ACME, tool="ping")} <= {"refused"}


@pytest.mark.parametrize("reason", REASONS[1:6], ids=lambda reason: reason.__name__)
async def test_what_is_taken_away_while_the_model_thinks_is_refused(desk: Desk, reason: Any):
    answer = scripted([("ping", {})], "I tried.")

    def meanwhile(handler: Any, received: Received, number: int) -> None:
        if number == 1:
            reason(desk)
        answer(handler, received, number)

    with serve(lambda handler, *_: reply(handler, 200, {})) as server:
        registered(desk, server)
        desk.tools.grant(ACME, "messenger", "ping")
        with serve(meanwhile) as provider:
            done = await done_by(desk, talking_to(provider.url), episode("Ping.", "messenger"))
    assert done.output == "I tried."
    assert server.received == []
    offered = [tool["function"]["name"] for tool in provider.received[0].body["tools"]]
    assert "ping" in offered
    assert [call.outcome for call in desk.history.executions(ACME, tool="ping")] == ["refused"]


async def test_a_role_is_granted_what_each_of_its_agents_may_call(desk: Desk):
    with serve(lambda handler, *_: reply(handler, 200, {})) as server:
        registered(desk, server)
        desk.tools.grant(ACME, "messenger", "ping", principal_type="role")
        with serve(scripted([("ping", {})], "Done.")) as provider:
            await done_by(desk, talking_to(provider.url), episode("Ping.", "messenger"))
    assert len(server.received) == 1


async def test_a_planted_secret_is_found_nowhere(desk: Desk, capfd: pytest.CaptureFixture[str]):
    """Not in what comes out or is printed, nor in the ledger but as the tool's configuration."""
    with serve(lambda handler, *_: reply(handler, 200, {"ok": True})) as server:
        registered(desk, server, headers={"X-Key": SECRET})
        desk.tools.grant(ACME, "messenger", "ping")
        with serve(scripted([("ping", {})], "Done.")) as provider:
            model = talking_to(provider.url, openai_api_key=SECRET)
            done = await done_by(desk, model, episode("Ping.", "messenger"))
    assert server.received[0].headers["X-Key"] == SECRET
    assert SECRET in str(provider.received[0].headers)
    seen = [str(to_json(done)), str([request.body for request in provider.received])]
    with desk.database.reading() as session:
        for table in Base.metadata.sorted_tables:
            kept = [c for c in table.columns if (table.name, c.name) != ("tools", "config")]
            seen += [str(row) for row in session.execute(select(*kept)).all()]
    printed = capfd.readouterr()
    seen += [printed.out, printed.err, repr(desk.tools.list(ACME)), repr(model)]
    assert not [text for text in seen if SECRET in text]


async def test_a_good_and_a_bad_agent_come_to_differ_in_health_and_rank(desk: Desk):
    for name in ("good", "bad"):
        spec = AgentSpec(name, name, "tester", "Test.", "Test.", {"test": 0.9})
        desk.agents.register(ACME, spec)
    assert [agent.health for agent in desk.agents.discover(ACME, ["test"])] == ["unmeasured"] * 2
    for _ in range(5):
        desk.agents.finished(ACME, "good", success=True, tokens=10)
        desk.agents.finished(ACME, "bad", success=False, tokens=10)
    found = desk.agents.discover(ACME, ["test"])
    assert [(agent.id, agent.health) for agent in found] == [
        ("good", "healthy"), ("bad", "unhealthy")
    ]  # fmt: skip
    assert found[0].reliability > 3 * found[1].reliability
