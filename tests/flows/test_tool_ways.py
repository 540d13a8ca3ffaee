"""Tools in whole runs: what may not be called is not, and secrets are found nowhere."""

import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import get_current_settings
from pydantic_ai.messages import ToolCallPart
from sqlalchemy import select

from dryad.bootstrap import Services
from dryad.foundation.database.models import Base
from dryad.foundation.tools import ToolSpec
from tests.flows.test_orchestrate_task import ACME, BULLETS, carry_out, script
from tests.web import Server, completion, reply, serve

# Prefect leaves its connections to be collected with the loop of a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

MODEL_KEY = "sk-planted-model-0123456789"
TOOL_KEY = "planted-tool-key-9876543210"
LETTER_KEY = "planted-letter-key-1357924680"


@pytest.fixture
def house(installation: Services) -> Services:
    installation.provide_tenant(ACME)
    return installation


@pytest.fixture
def server() -> Generator[Server]:
    """A server that tells everything it was sent, as careless ones do."""

    def echo(handler: Any, received: Any, _number: int) -> None:
        reply(handler, 200, {"you_sent": dict(received.headers.items()), "to": received.path})

    with serve(echo) as server:
        yield server


def register(house: Services, server: Server, **more: Any) -> None:
    config = {
        "method": "GET", "base": server.url, "path": "/ping", "places": {},
        "private_hosts": [server.url.removeprefix("http://")], "headers": {"X-Key": TOOL_KEY},
        **more,
    }  # fmt: skip
    spec = ToolSpec("ping", "1", "Ping the server.", "read", kind="http", config=config)
    house.tools.register(ACME, spec)


async def test_no_member_of_a_force_calls_what_it_was_not_granted(house: Services, server: Server):
    register(house, server)
    house.tools.grant(ACME, "analyst", "ping")
    script(house, lambda *_: ToolCallPart("ping", {}))
    await carry_out(house, BULLETS)
    assert server.received == []
    assert {call.outcome for call in house.tool_history.executions(ACME, tool="ping")} <= {
        "refused"
    }


async def test_who_does_a_part_over_is_lent_no_grant(house: Services, server: Server):
    """The researcher may call it; the analyst, who does its part over, may not."""
    register(house, server)
    house.tools.grant(ACME, "researcher", "ping")

    def says(_: str, prompt: str) -> str | ToolCallPart:
        return ToolCallPart("ping", {}) if "not accepted" in prompt else "It is so [9]."

    script(house, says)
    _, found = await carry_out(house, "Explain leases.")
    (rung,) = found["task"].result["ladder"]
    assert (rung["by"], rung["step"]) == ("analyst", "another agent")
    assert server.received == []


async def test_a_member_that_was_granted_it_calls_it(house: Services, server: Server):
    """The two tests above could not fail otherwise."""
    register(house, server)
    house.tools.grant(ACME, "researcher", "ping")
    script(house, lambda *_: ToolCallPart("ping", {}))
    await carry_out(house, BULLETS)
    assert len(server.received) == 4
    calls = house.tool_history.executions(ACME, tool="ping")
    assert [(call.agent, call.outcome) for call in calls] == [("researcher", "done")] * 4
    (session,) = house.tool_history.sessions(ACME, tool="ping")
    assert (session.calls, session.done) == (4, 4)


# -- secrets


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Generator[Server]:
    """A model provider that is sent a key, and repeats it in its errors."""

    def answer(handler: Any, received: Any, number: int) -> None:
        said = received.body["messages"]
        if "Fail" in str(said):
            error = {"message": f"Incorrect API key provided: {MODEL_KEY}", "code": "bad"}
            reply(handler, 401, {"error": error})
        elif said[-1]["role"] != "tool":
            look = "import os\nprint(dict(os.environ), open('/proc/self/environ').read())"
            calls = [
                ("notify", {"to": "ops", "message": "hi"}),
                ("ping", {}),
                ("run_python", {"code": look}),
            ]
            reply(handler, 200, completion(calls=calls, number=number))
        else:
            reply(handler, 200, completion("It was done."))

    with serve(answer) as provider:
        monkeypatch.setenv("DRYAD_LLM_PROVIDER", "openai")
        monkeypatch.setenv("DRYAD_LLM_MODEL", "test-model")
        monkeypatch.setenv("DRYAD_LLM_PRICE_USD_PER_MTOK", "1,2")
        monkeypatch.setenv("DRYAD_OPENAI_BASE_URL", provider.url)
        monkeypatch.setenv("OPENAI_API_KEY", MODEL_KEY)
        monkeypatch.setenv("DRYAD_CRITIC", "false")
        yield provider


async def test_a_planted_secret_is_found_nowhere(
    planted: Server, house: Services, server: Server, tmp_path: Path
):
    """Not in logs, results, artifacts, parameters, either database or files; Prefect's is real."""
    register(house, server)
    house.tools.configure(ACME, "notify", "1", {"url": f"{server.url}/?key={LETTER_KEY}"})
    for tool in ("ping", "notify", "run_python"):
        house.tools.grant(ACME, "analyst", tool)
    house.policies.set(ACME, {"approval_tier": "authority"}, author="test")
    for text in ("Compute what is needed.", "Fail to compute."):
        await carry_out(house, text, agent="analyst")
    # All three went where they belong, and nowhere else.
    assert MODEL_KEY in str(planted.received[0].headers)
    assert {request.headers.get("X-Key") for request in server.received} == {TOOL_KEY, None}
    assert any(LETTER_KEY in request.path for request in server.received)
    assert sorted(task.status for task in house.tasks.list(ACME)) == ["done", "refused"]
    found = everything(house, tmp_path)
    assert {name for name, text in found if "test-model" in text or "ping" in text}
    for secret in (MODEL_KEY, TOOL_KEY, LETTER_KEY):
        assert [name for name, text in found if secret in text] == []
        asked = str([request.body for request in planted.received])
        assert secret not in asked


def everything(house: Services, tmp_path: Path) -> list[tuple[str, str]]:
    """Return all that was written anywhere: (where, text)."""
    found = [
        (str(file.relative_to(tmp_path)), file.read_bytes().decode("utf-8", "replace"))
        for file in tmp_path.rglob("*")
        if file.is_file()
    ]
    with house.database.reading() as session:
        tables = Base.metadata.sorted_tables
        found += [(f"ledger {t.name}", str(session.execute(select(t)).all())) for t in tables]
    url = get_current_settings().server.database.connection_url
    assert url is not None
    place = url.get_secret_value().partition(":///")[2]
    with sqlite3.connect(f"file:{place}?mode=ro", uri=True) as prefect:
        found += [("prefect", line) for line in prefect.iterdump()]
    assert any(
        "It was done" in text or "Report" in text for name, text in found if name == "prefect"
    )
    return found


async def test_a_run_tells_its_model_what_is_secret_only_where_the_policy_granted_it(
    planted: Server, house: Services, server: Server
):
    """The server of the tool tells a word that stands nowhere else."""
    register(house, server, path="/swordfish-4711", reads_secrets=True)
    house.tools.grant(ACME, "analyst", "ping")
    await carry_out(house, "Compute what is needed.", agent="analyst")
    assert "does not let secrets go to openai" in str(planted.received[-1].body)
    assert server.received == []
    house.policies.set(ACME, {"secret_providers": ["openai"]}, author="test")
    assert "swordfish" not in str([request.body for request in planted.received])
    await carry_out(house, "Compute what is needed once more.", agent="analyst")
    assert "swordfish" in str(planted.received[-1].body)
