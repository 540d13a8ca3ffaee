"""Every request on its way in and out: named, measured, limited, logged."""

import re
import secrets
import time
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dryad.api.meter import Meter
from dryad.api.problems import answer, too_large
from dryad.foundation.errors import DryadError, InvalidRequest
from dryad.foundation.ids import new_id
from dryad.foundation.logs import bound, get_logger

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_NUL = re.compile(rb"\x00|%00")

access = get_logger("access")
log = get_logger("api")


@dataclass
class Exchange:
    """One request and what became of it; `request.state.exchange`."""

    id: str
    trace: str
    tenant: str = ""
    key: str = ""
    status: int = 0
    recorded: bool = False
    began: float = field(default_factory=time.perf_counter)


class Traffic:
    """The outermost layer: nothing leaves without an id, a measurement and a log line."""

    def __init__(self, app: ASGIApp, *, meter: Meter, max_body_bytes: int) -> None:
        self._app = app
        self._meter = meter
        self._most = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = _exchange(headers)
        scope.setdefault("state", {})["exchange"] = exchange

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                out = MutableHeaders(scope=message)
                out["X-Request-Id"] = exchange.id
                out["X-Content-Type-Options"] = "nosniff"
                out.setdefault("Cache-Control", "no-store")
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                self._record(scope, exchange)  # before it leaves: who has the answer finds the line
            await send(message)

        with bound(trace=exchange.trace):
            try:
                await self._pass(scope, receive, send_named, headers)
            finally:
                self._record(scope, exchange)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        exchange: Exchange = scope["state"]["exchange"]
        if refusal := self._refusal(scope, headers):
            await answer(*refusal, request_id=exchange.id)(scope, receive, send)
            return
        try:
            await self._app(scope, self._limited(receive), send)
        except Exception as error:  # a fault of ours becomes an answer and a log line
            log.exception("request_failed", request=exchange.id, error=repr(error))
            if exchange.status == 0:
                fault = DryadError("DRYAD made a mistake; it is in the error log")
                await answer(500, fault, request_id=exchange.id)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, DryadError] | None:
        """Look at what is known before the body is read."""
        if _NUL.search(scope["query_string"]) or "\x00" in scope["path"]:
            return 400, InvalidRequest("the address holds a NUL")
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._most:
            return 413, too_large(self._most)
        return None

    def _limited(self, receive: Receive) -> Receive:
        """Stop reading a body of unknown length once it is too large."""
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413) from too_large(self._most)
            return message

        return receive_some

    def _record(self, scope: Scope, exchange: Exchange) -> None:
        """Measure and log once."""
        if exchange.recorded:
            return
        exchange.recorded = True
        seconds = time.perf_counter() - exchange.began
        status = exchange.status or 499  # the client went away before an answer began
        self._meter.answered(scope["method"], _template(scope), status, seconds)
        (access.error if status >= 500 else access.info)(
            "request",
            tenant=exchange.tenant,
            request=exchange.id,
            key_id=exchange.key,
            client=(scope.get("client") or ("",))[0],
            method=scope["method"],
            path=scope["path"],
            status=status,
            duration_ms=round(seconds * 1000, 2),
        )


def _template(scope: Scope) -> str:
    """Return the address with its ids left open: few names, however many tasks there are."""
    path: str = getattr(scope.get("route"), "path", "")
    # A route knows its own part only; what stands before it is fixed and stands in the address.
    return scope["path"].rsplit("/", path.count("/"))[0] + path if path else "(none)"


def _exchange(headers: Headers) -> Exchange:
    given = headers.get("x-request-id", "")
    traced = _TRACE.fullmatch(headers.get("traceparent", ""))
    return Exchange(
        id=given if _REQUEST_ID.fullmatch(given) else new_id("req"),
        trace=traced[1] if traced else secrets.token_hex(16),
    )
