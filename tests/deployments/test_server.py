"""The Prefect server's pages reach nobody else, and its SQLite lets everybody write in turn."""

import asyncio
import gc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from deployments.server import WaitingSqlite, guarded, policy
from tests.servers import PrefectServer


async def test_every_response_carries_the_policy():
    async def page(_: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    said = policy("http://127.0.0.1:4200/api")
    app = guarded(Starlette(routes=[Route("/", page)]), said)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost"
    ) as client:
        for answer in (await client.get("/"), await client.get("/nowhere")):
            assert answer.headers["content-security-policy"] == said
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_may_call_their_own_api_and_nothing_else():
    rules = dict(rule.split(" ", 1) for rule in policy("http://127.0.0.1:4200/api").split("; "))
    assert rules["connect-src"].split() == [
        "'self'", "data:", "http://127.0.0.1:4200", "https://127.0.0.1:4200",
        "ws://127.0.0.1:4200", "wss://127.0.0.1:4200",
    ]  # fmt: skip
    assert rules["frame-ancestors"] == rules["object-src"] == "'none'"
    assert not {"http:", "https:", "*"} & {word for rule in rules.values() for word in rule.split()}


async def count_up(configuration: AioSqliteConfiguration) -> int:
    """Let eight transactions at once read a number, think, and write the next one; return it."""
    engine = await configuration.engine()
    async with engine.connect() as connection:
        await connection.exec_driver_sql("CREATE TABLE counter (value INTEGER)")
        await connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    read = sa.text("SELECT value FROM counter")

    async def add_one() -> None:
        session = await configuration.session(engine)
        async with session, configuration.begin_transaction(session):
            value = await session.scalar(read)
            await asyncio.sleep(0.05)
            await session.execute(
                sa.text("UPDATE counter SET value = :value"), {"value": value + 1}
            )

    try:
        # All of them come to their end, so that none leaves its connection open.
        ends = await asyncio.gather(*(add_one() for _ in range(8)), return_exceptions=True)
        for failed in filter(None, ends):
            raise failed
        session = await configuration.session(engine)
        async with session:
            return int(await session.scalar(read))
    finally:
        await engine.dispose()


def url(directory: Path) -> str:
    return f"sqlite+aiosqlite:///{directory / 'prefect.db'}"


async def test_transactions_that_begin_at_once_all_write(tmp_path: Path):
    assert await count_up(WaitingSqlite(connection_url=url(tmp_path))) == 8


async def test_prefect_itself_still_needs_this(tmp_path: Path):
    with warnings.catch_warnings():
        # Where Prefect's own transaction fails to begin, it forgets the connection.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(OperationalError, match="locked"):
            await count_up(AioSqliteConfiguration(connection_url=url(tmp_path)))
        gc.collect()


def test_a_server_answers_everybody_who_writes_at_once(prefect_server: PrefectServer):
    """Prefect's own answers some of them 503, and others after a minute."""
    with prefect_server.client() as api:
        flow = api.post("/flows/", json={"name": "nothing"}).raise_for_status().json()["id"]

    def carry(number: int) -> list[int]:
        auth = tuple(prefect_server.auth.split(":"))
        with httpx.Client(base_url=prefect_server.url, auth=auth, timeout=120) as client:
            body = {"flow_id": flow, "name": f"{number}", "state": {"type": "SCHEDULED"}}
            answers = [client.post("/flow_runs/", json=body)]
            for kind in ("PENDING", "RUNNING", "COMPLETED"):
                path = f"/flow_runs/{answers[0].json()['id']}/set_state"
                body = {"state": {"type": kind}, "force": True}
                answers.append(client.post(path, json=body))
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(carry, range(40)))
    assert {status for statuses in found for status in statuses} == {201}
