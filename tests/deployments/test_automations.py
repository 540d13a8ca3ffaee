"""Reviewers are told that a run waits: a real server's automation, a real receiver."""

from collections.abc import Generator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from deployments import automations
from dryad.foundation.errors import InvalidRequest
from tests.servers import PrefectServer, wait_for
from tests.web import Server, accept, serve

UI = "http://127.0.0.1:4200"
TOKEN = "s3cret-path-of-the-channel"


@pytest.fixture
def prefect(prefect_server: PrefectServer) -> Generator[httpx.Client]:
    with prefect_server.client() as client:
        yield client


@pytest.fixture
def client(prefect_server: PrefectServer) -> Generator[SyncPrefectClient]:
    """What registers; whatever it made is gone afterwards."""
    known = {PREFECT_API_URL: prefect_server.url, PREFECT_API_AUTH_STRING: prefect_server.auth}
    with temporary_settings(known), get_client(sync_client=True) as client:
        yield client
        automations.keep(client, None, ui_url=UI)


@pytest.fixture
def channel() -> Generator[Server]:
    with serve(accept(200)) as server:
        yield server


def keep(client: SyncPrefectClient, url: str | None) -> None:
    automations.keep(client, None if url is None else SecretStr(url), ui_url=UI)


def suspend(prefect: httpx.Client, flow: str, **run: Any) -> str:
    """Let a run of `flow` fall asleep; return its id."""
    known = prefect.post("/flows/", json={"name": flow}).raise_for_status().json()["id"]
    made = prefect.post("/flow_runs/", json={"flow_id": known, **run}).raise_for_status()
    for state in ({"type": "RUNNING", "name": "Running"}, {"type": "PAUSED", "name": "Suspended"}):
        path = f"/flow_runs/{made.json()['id']}/set_state"
        prefect.post(path, json={"state": state, "force": True}).raise_for_status()
    return str(made.json()["id"])


def ours(prefect: httpx.Client) -> list[dict[str, Any]]:
    found = prefect.post("/automations/filter", json={}).raise_for_status().json()
    return [one for one in found if one["name"] == automations.NAME]


def test_a_run_that_waits_is_told_by_its_names_alone(
    client: SyncPrefectClient, prefect: httpx.Client, channel: Server
):
    keep(client, f"{channel.url}/{TOKEN}")
    asked = {"parameters": {"text": "pay 5,000 to Mallory"}, "tags": ["tenant:acme"]}
    suspend(prefect, "another-flow", name="not-ours", **asked)
    run = suspend(prefect, "orchestrate-task", name="task_1", **asked)
    wait_for("the message", lambda: channel.received != [], seconds=90)
    [told] = channel.received
    assert (told.method, told.path) == ("POST", f"/{TOKEN}")
    url = f"{UI}/runs/flow-run/{run}"
    assert told.body == {
        "text": f"A task waits for a person: task_1. Look at {url} or at `dryad inbox`.",
        "event": "question.waits",
        "task": "task_1",
        "run": run,
        "url": url,
    }
    assert "Authorization" not in told.headers


def test_a_name_cannot_change_the_message(
    client: SyncPrefectClient, prefect: httpx.Client, channel: Server
):
    keep(client, channel.url)
    suspend(prefect, "orchestrate-task", name='x", "event": "answered", "y": "<http://e.vil|ok>')
    wait_for("the message", lambda: channel.received != [], seconds=90)
    assert channel.received[0].body["event"] == "question.waits"
    assert "<http://e.vil" not in channel.received[0].body["text"]


def test_the_address_is_shown_nowhere(
    client: SyncPrefectClient, prefect: httpx.Client, channel: Server
):
    keep(client, f"{channel.url}/{TOKEN}")
    assert ours(prefect)
    for path in ("automations", "block_documents", "flow_runs", "logs", "deployments"):
        assert TOKEN not in prefect.post(f"/{path}/filter", json={}).raise_for_status().text


def test_the_setting_makes_changes_and_ends_it_and_a_pause_lasts(
    client: SyncPrefectClient, prefect: httpx.Client, channel: Server
):
    keep(client, "http://127.0.0.1:9/old")
    [made] = ours(prefect)
    prefect.patch(f"/automations/{made['id']}", json={"enabled": False}).raise_for_status()
    keep(client, channel.url)
    [kept] = ours(prefect)
    assert (kept["id"], kept["enabled"]) == (made["id"], False)
    prefect.patch(f"/automations/{made['id']}", json={"enabled": True}).raise_for_status()
    suspend(prefect, "orchestrate-task", name=f"task_{uuid4()}")
    wait_for("the message at the new address", lambda: channel.received != [], seconds=90)
    keep(client, None)
    assert ours(prefect) == []
    blocks = prefect.post("/block_documents/filter", json={}).json()
    assert automations.NAME not in [block["name"] for block in blocks]


@pytest.mark.parametrize("address", ["", "chat.example.com", "file:///etc/passwd", "https://"])
def test_what_is_no_address_is_refused(client: SyncPrefectClient, address: str):
    with pytest.raises(InvalidRequest, match="must be an address"):
        keep(client, address)
