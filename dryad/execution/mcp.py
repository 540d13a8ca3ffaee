"""Tools of MCP servers: found, held to what was found, and called one at a time.

Which servers there are is said in a file of the installation, because a server on stdio is a
program of this machine. What a server says of its tools is untrusted: a tool that is discovered may
not be called until a person gives it a tier, and one that changed since is another version.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dryad.execution.openapi import tool_name
from dryad.execution.outside import NotSent, Outside, Reach, without
from dryad.execution.tool_calls import ToolOutcome
from dryad.foundation.canonical import canonical_json, digest
from dryad.foundation.errors import Corrupt, NotFound, Refused, Unavailable
from dryad.foundation.ids import TenantId
from dryad.foundation.tools import ToolSpec

PROTOCOL = "2025-06-18"
_MOST_BYTES = 5_000_000
_MOST_TOOLS = 500
_PATH = "/usr/local/bin:/usr/bin:/bin"


class McpServer(BaseModel):
    """One server: a program (`command`, `args`, `env`), or an address (`url`, `headers`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default={}, repr=False)
    url: str = ""
    headers: Mapping[str, str] = Field(default={}, repr=False)
    tenants: frozenset[str] = Field(default=frozenset(), description="Who may use it; empty: all")
    seconds: float = Field(default=60, gt=0, le=600)


class _File(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    servers: Mapping[str, McpServer] = Field(alias="mcpServers")


def read_servers(file: Path) -> Mapping[str, McpServer]:
    """Return the servers of `{"mcpServers": {name: …}}`; none when there is no such file.

    Raises:
        Corrupt: the file says something else.
    """
    if not file.exists():
        return {}
    try:
        servers = _File.model_validate_json(file.read_bytes()).servers
    except ValidationError as error:
        raise Corrupt(f"{file} is no list of MCP servers: {error.errors()[0]['msg']}") from None
    for name, server in servers.items():
        if bool(server.command) == bool(server.url):
            raise Corrupt(f"{file}: the server {name} has either a command or a url")
    return servers


@dataclass(frozen=True)
class McpServers:
    """The MCP servers of this installation."""

    servers: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer], repr=False)
    outside: Outside = field(default_factory=Outside)

    async def discover(self, tenant: TenantId, server: str) -> list[ToolSpec]:
        """Ask a server for its tools; each is a version of its own, which nobody may call yet.

        Raises:
            NotFound: the tenant has no such server.
            Unavailable: it does not answer, or not in its protocol.
        """
        async with self._talk(self._server(tenant, server)) as talk:
            return [_spec(server, tool) for tool in await _listed(talk)]

    async def call(
        self, tenant: TenantId, spec: ToolSpec, arguments: Mapping[str, Any]
    ) -> ToolOutcome:
        """Call a tool, if its server still says of it what it said when it was discovered.

        Raises:
            NotFound: the tenant has no such server any more.
            Refused: the tool changed, or is gone; nothing was called.
            Unavailable: nobody knows whether it was called.
        """
        server, name = str(spec.config["server"]), str(spec.config["tool"])
        reached = self._server(tenant, server)
        called = False
        try:
            async with self._talk(reached) as talk:
                now = [tool for tool in await _listed(talk) if tool.get("name") == name]
                if not now or _version(now[0]) != spec.version:
                    raise Refused(
                        f"the server {server} says something else of {name} than when it was found",
                        f"`dryad tools discover {server}` looks again; then give it a tier.",
                    )
                called = True
                answer = await talk.ask("tools/call", {"name": name, "arguments": dict(arguments)})
        except Unavailable as reason:
            if called:
                raise
            return ToolOutcome(failed=f"{reason.message}; nothing was called")
        keys = {**reached.env, **reached.headers}
        return _outcome(orjson.loads(without(canonical_json(answer), keys)))

    def _server(self, tenant: TenantId, name: str) -> McpServer:
        server = self.servers.get(name)
        if server is None or (server.tenants and tenant not in server.tenants):
            raise NotFound(
                f"no MCP server {name[:80]}",
                "The operator names servers in `mcp.json` in the home.",
            )
        return server

    @asynccontextmanager
    async def _talk(self, server: McpServer) -> AsyncGenerator["_Talk"]:
        """Open a conversation, within the server's time; it is over when the block ends."""
        wire: _Wire = _Program(server) if server.command else _Address(server, self.outside)
        try:
            async with asyncio.timeout(server.seconds):
                await wire.open()
                talk = _Talk(wire)
                await talk.begin()
                yield talk
        except TimeoutError as error:
            raise Unavailable(f"the MCP server did not answer in {server.seconds:g} s") from error
        finally:
            await asyncio.shield(wire.close())


class _Wire(Protocol):
    """How messages reach a server."""

    async def open(self) -> None: ...

    async def ask(self, message: dict[str, Any], number: int) -> dict[str, Any]:
        """Send a request and return the message that answers it."""
        ...

    async def tell(self, message: dict[str, Any]) -> None:
        """Send what wants no answer."""
        ...

    async def close(self) -> None: ...


class _Talk:
    """JSON-RPC with one server."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._number = 0

    async def begin(self) -> None:
        """Agree on the protocol."""
        about = {"name": "dryad", "version": "1"}
        hello = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": about}
        await self.ask("initialize", hello)
        await self._wire.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def ask(self, method: str, params: dict[str, Any]) -> Mapping[str, Any]:
        """Return the result of one request."""
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        answer = await self._wire.ask(message, self._number)
        if "error" in answer:
            said = answer["error"]
            words = str(cast("Any", said).get("message", "")) if isinstance(said, dict) else ""
            raise Unavailable(f"the MCP server refused {method}: {words[:300]}")
        result = answer.get("result")
        if not isinstance(result, dict):
            raise Unavailable(f"the MCP server answered {method} with no result")
        return cast("dict[str, Any]", result)


class _Program:
    """A server that is a program of this machine, spoken to line by line."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._process: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._server.command,
                *self._server.args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": _PATH, "LANG": "C.UTF-8", **self._server.env},
                limit=_MOST_BYTES,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"the MCP server cannot be started: {error.strerror}") from error

    async def ask(self, message: dict[str, Any], number: int) -> dict[str, Any]:
        await self.tell(message)
        assert self._process is not None
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError as error:
                raise Unavailable("the MCP server says more than it may") from error
            if not line:
                raise Unavailable("the MCP server ended without an answer")
            if (answer := _answer([line], number)) is not None:
                return answer

    async def tell(self, message: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(canonical_json(message) + b"\n")
            await self._process.stdin.drain()
        except OSError as error:
            raise Unavailable("the MCP server ended") from error

    async def close(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # its whole group, whatever it started
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


class _Address:
    """A server at an address: each message is a POST, answered with JSON or a stream of events."""

    def __init__(self, server: McpServer, outside: Outside) -> None:
        self._server = server
        self._outside = outside
        host = server.url.partition("://")[2].partition("/")[0]
        # The operator named this very address, so it may be a private one.
        self._reach = Reach(private=(host,), seconds=server.seconds, most_bytes=_MOST_BYTES)
        self._session: dict[str, str] = {}

    async def open(self) -> None:
        """Nothing is open between messages."""

    async def ask(self, message: dict[str, Any], number: int) -> dict[str, Any]:
        def enough(so_far: bytes) -> bool:
            # A server may keep its stream open after the answer; blank lines part its events.
            return so_far.endswith(b"\n") and _answer(_events(so_far), number) is not None

        reply = await self._outside.ask(
            self._reach, "POST", self._server.url,
            headers=self._headers(), content=canonical_json(message), enough=enough,
        )  # fmt: skip
        if not 200 <= reply.status < 300:
            raise Unavailable(f"the MCP server answered HTTP {reply.status}")
        if "mcp-session-id" in reply.headers:
            self._session["Mcp-Session-Id"] = reply.headers["mcp-session-id"]
        self._session["Mcp-Protocol-Version"] = PROTOCOL
        streamed = reply.kind == "text/event-stream"
        answer = _answer(_events(reply.content) if streamed else [reply.content], number)
        if answer is None:
            raise Unavailable("the MCP server gave no answer to what it was asked")
        return answer

    async def tell(self, message: dict[str, Any]) -> None:
        await self._outside.ask(
            self._reach, "POST", self._server.url,
            headers=self._headers(), content=canonical_json(message),
        )  # fmt: skip

    async def close(self) -> None:
        if "Mcp-Session-Id" in self._session:
            with contextlib.suppress(Unavailable, NotSent, Refused):
                brief = Reach(private=self._reach.private, seconds=2)
                await self._outside.ask(brief, "DELETE", self._server.url, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **self._session,
            **self._server.headers,
        }


def _events(stream: bytes) -> list[bytes]:
    """Return the data of the events that are whole."""
    whole = stream.replace(b"\r\n", b"\n").split(b"\n\n")
    return [
        b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        for event in whole
    ]


def _answer(messages: Sequence[bytes], number: int) -> dict[str, Any] | None:
    """Return the message that answers request `number`; what is no message is passed over."""
    for message in messages:
        try:
            said = orjson.loads(message)
        except orjson.JSONDecodeError:
            continue
        if isinstance(said, dict) and "method" not in said and said.get("id") == number:  # pyright: ignore[reportUnknownMemberType] - JSON
            return cast("dict[str, Any]", said)
    return None


async def _listed(talk: _Talk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await talk.ask("tools/list", {} if cursor is None else {"cursor": cursor})
        found += [tool for tool in page.get("tools", ()) if isinstance(tool, dict)]
        cursor = page.get("nextCursor")
        if cursor is None:
            return found
        if len(found) > _MOST_TOOLS:
            raise Unavailable(f"the MCP server lists more than {_MOST_TOOLS} tools")


def _version(tool: Mapping[str, Any]) -> str:
    """Return a version that changes whenever the server says anything else of its tool."""
    said = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
    return digest({name: tool.get(name) for name in said})[:16]


def _spec(server: str, tool: Mapping[str, Any]) -> ToolSpec:
    given = tool.get("outputSchema")
    properties = {"text": {"type": "string"}, "structured": given or {}}
    return ToolSpec(
        name=tool_name(f"{server}-{tool.get('name')}"),
        version=_version(tool),
        description=str(tool.get("description") or tool.get("title") or tool.get("name"))[:2_000],
        tier="authority",
        input_schema=tool.get("inputSchema") or {"type": "object"},
        output_schema={"type": "object", "properties": properties, "required": ["text"]},
        kind="mcp",
        config={"server": server, "tool": str(tool.get("name"))},
        status="inactive",
    )


def _outcome(answer: Mapping[str, Any]) -> ToolOutcome:
    content = cast("list[dict[str, Any]]", answer.get("content") or [])
    text = "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    if answer.get("isError"):
        return ToolOutcome(failed=text[:2_000] or "the tool reported an error", untrusted=True)
    value: dict[str, Any] = {"text": text}
    if "structuredContent" in answer:
        value["structured"] = answer["structuredContent"]
    return ToolOutcome(value, untrusted=True)
