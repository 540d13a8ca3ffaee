"""The Prefect server of an installation, whose pages reach nobody else and stand in no frame.

`prefect server start` with two additions. Its UI keeps the login where any script of a page can
read it, asks an analytics host for its settings even with analytics off, and takes clicks when
another page frames it: a content security policy, which every browser keeps, ends all three. And
on SQLite it begins a transaction as a reader, so the first write of two at once fails at once
("database is locked", answered 503): here a transaction waits for its turn before it begins.
"""

import argparse
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from prefect.server.api.server import create_app
from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration
from prefect.server.database.dependencies import MODELS_DEPENDENCIES
from prefect.settings import get_current_settings
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class WaitingSqlite(AioSqliteConfiguration):
    """SQLite whose transactions wait for the write lock when they begin, not when they write.

    A transaction that read before another one wrote can't become a writer any more; SQLite
    refuses it without waiting. One that begins as a writer waits its turn instead.
    """

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """Begin for writing; within another transaction as asked, or it would wait for itself."""
        outermost = SQLITE_BEGIN_MODE.get() is None
        async with super().begin_transaction(session, with_for_update or outermost) as begun:
            yield begun


def policy(api_url: str) -> str:
    """Return the policy of pages that call the Prefect API at `api_url`, and nothing else."""
    api = urlsplit(api_url).netloc
    return "; ".join(
        [
            "default-src 'self'",
            # What draws a run's timeline compiles functions (it says so when it may not).
            "script-src 'self' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            f"connect-src 'self' data: http://{api} https://{api} ws://{api} wss://{api}",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


def guarded(app: App, content_security_policy: str) -> App:
    """Return `app` with the policy on each of its responses."""
    headers = [
        (b"content-security-policy", content_security_policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
    ]

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await app(scope, receive, send_with_headers)

    return respond


def main() -> None:
    """Serve until told to stop."""
    arguments = argparse.ArgumentParser(prog="python -m deployments.server")
    arguments.add_argument("--host", required=True)
    arguments.add_argument("--port", type=int, required=True)
    given = arguments.parse_args()
    server = get_current_settings().server
    database = server.database.connection_url
    if database is not None and (url := database.get_secret_value()).startswith("sqlite"):
        MODELS_DEPENDENCIES["database_config"] = WaitingSqlite(connection_url=url)
    own = f"http://{given.host}:{given.port}/api"
    uvicorn.run(
        guarded(create_app(final=True), policy(server.ui.api_url or own)),
        host=given.host,
        port=given.port,
        timeout_keep_alive=server.api.keepalive_timeout,
        ws_ping_interval=server.api.websocket_ping_interval,
        ws_ping_timeout=server.api.websocket_ping_timeout,
        log_level=server.logging_level.lower(),
    )


if __name__ == "__main__":
    main()
