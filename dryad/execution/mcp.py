"""Tools of MCP servers: found, held to what was found, and called one at a time.

Which servers there are is said in a file of the installation. What a server says of its tools is
untrusted: a tool that is discovered may not be called until a person gives it a tier, and one that
changed since is another version.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dryad.execution.mcp_wires import PROTOCOL, McpServer, Wire, wire_to
from dryad.execution.openapi import tool_name
from dryad.execution.outside import Outside, without
from dryad.execution.sandbox.port import Limits, Sandbox
from dryad.execution.tool_calls import ToolOutcome
from dryad.foundation.canonical import canonical_json, digest
from dryad.foundation.errors import Corrupt, NotFound, Refused, Unavailable
from dryad.foundation.ids import TenantId
from dryad.foundation.tools import ToolSpec

_MOST_TOOLS = 500


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
        if server.files and (server.url or server.outside):
            raise Corrupt(f"{file}: the server {name} is not in the sandbox and gets no files")
    return servers


def no_sandbox() -> Sandbox:
    """Refuse what would need a sandbox.

    Raises:
        Unavailable: always.
    """
    raise Unavailable("the MCP server is a program, and there is no sandbox to run it in")


class ServersFile(Mapping[str, McpServer]):
    """The servers a file names, read anew each time; see `read_servers`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __getitem__(self, name: str) -> McpServer:
        """Return one server as the file describes it now."""
        return read_servers(self._file)[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the servers there are now."""
        return iter(read_servers(self._file))

    def __len__(self) -> int:
        """Return how many servers there are now."""
        return len(read_servers(self._file))


@dataclass(frozen=True)
class McpServers:
    """The MCP servers of this installation."""

    servers: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer], repr=False)
    outside: Outside = field(default_factory=Outside)
    sandbox: Callable[[], Sandbox] = no_sandbox
    """Where programs run; asked for in a thread, when one is started."""
    limits: Limits = field(default_factory=Limits)
    """Of a program in the sandbox; its time is the server's own."""

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
        wire = wire_to(server, self.outside, self.sandbox, self.limits)
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


class _Talk:
    """JSON-RPC with one server."""

    def __init__(self, wire: Wire) -> None:
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
