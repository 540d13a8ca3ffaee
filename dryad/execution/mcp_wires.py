"""How messages reach an MCP server: in the sandbox, as a program of this machine, by address."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field

from dryad.execution.outside import NotSent, Outside, Reach
from dryad.execution.sandbox.port import Limits, Sandbox, SandboxRequest, Spoken
from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import Refused, Unavailable

PROTOCOL = "2025-06-18"
_MOST_BYTES = 5_000_000
_PATH = "/usr/local/bin:/usr/bin:/bin"


class McpServer(BaseModel):
    """One server: a program (`command`, `args`, `env`, `files`), or an address (`url`, `headers`).

    A program is started for each conversation, in the sandbox: `files` are put beside it, and
    nothing else of this machine but its programs and libraries is there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default={}, repr=False)
    files: tuple[Path, ...] = Field(default=(), description="Put beside the program, by name")
    outside: bool = Field(
        default=False, description="Run the program on this machine itself, with all it may reach"
    )
    url: str = ""
    headers: Mapping[str, str] = Field(default={}, repr=False)
    tenants: frozenset[str] = Field(default=frozenset(), description="Who may use it; empty: all")
    seconds: float = Field(default=60, gt=0, le=600)


class Wire(Protocol):
    """How messages reach a server."""

    async def open(self) -> None:
        """Be ready for messages."""
        ...

    async def ask(self, message: dict[str, Any], number: int) -> dict[str, Any]:
        """Send a request and return the message that answers it."""
        ...

    async def tell(self, message: dict[str, Any]) -> None:
        """Send what wants no answer."""
        ...

    async def close(self) -> None:
        """End what was opened; safe after a failure."""
        ...


def wire_to(
    server: McpServer, outside: Outside, sandbox: Callable[[], Sandbox], limits: Limits
) -> Wire:
    """Return the way to a server; nothing is started yet.

    Args:
        server: Which.
        outside: The way to addresses.
        sandbox: The place of programs; asked for in a thread, when one is started.
        limits: Of a program in the sandbox, its time excepted.
    """
    if server.url:
        return _Address(server, outside)
    return _Program(server) if server.outside else _Boxed(server, sandbox, limits)


class _Lines(ABC):
    """A server that is spoken to line by line."""

    def __init__(self) -> None:
        self._heard = bytearray()

    @abstractmethod
    async def say(self, data: bytes) -> None:
        """Write to the program."""

    @abstractmethod
    async def hear(self) -> bytes:
        """Return what it says next, b"" when it has ended."""

    async def ask(self, message: dict[str, Any], number: int) -> dict[str, Any]:
        await self.tell(message)
        while True:
            line = await self._line()
            if (answer := _answer([line], number)) is not None:
                return answer

    async def tell(self, message: dict[str, Any]) -> None:
        await self.say(canonical_json(message) + b"\n")

    async def _line(self) -> bytes:
        while b"\n" not in self._heard:
            if len(self._heard) > _MOST_BYTES:
                raise Unavailable("the MCP server says more than it may")
            chunk = await self.hear()
            if not chunk:
                raise Unavailable("the MCP server ended without an answer")
            self._heard += chunk
        line, _, rest = bytes(self._heard).partition(b"\n")
        self._heard = bytearray(rest)
        return line


class _Boxed(_Lines):
    """A server that is a program in the sandbox."""

    def __init__(self, server: McpServer, sandbox: Callable[[], Sandbox], limits: Limits) -> None:
        super().__init__()
        self._server = server
        self._sandbox = sandbox
        self._limits = limits
        self._stack = AsyncExitStack()
        self._spoken: Spoken | None = None

    async def open(self) -> None:
        try:
            files = {path.name: path.read_bytes() for path in self._server.files}
        except OSError as error:
            raise Unavailable(f"a file of the MCP server cannot be read: {error}") from error
        seconds = self._server.seconds
        request = SandboxRequest(
            command=(self._server.command, *self._server.args),
            files=files,
            environment=self._server.env,
            limits=replace(
                self._limits,
                wall_seconds=seconds,
                cpu_seconds=seconds,
                output_bytes=2 * _MOST_BYTES,
            ),
            needs=frozenset({"network", "host_files", "secrets"}),
        )
        sandbox = await asyncio.to_thread(self._sandbox)
        self._spoken = await self._stack.enter_async_context(sandbox.converse(request))

    async def say(self, data: bytes) -> None:
        assert self._spoken is not None
        await self._spoken.tell(data)

    async def hear(self) -> bytes:
        assert self._spoken is not None
        return await self._spoken.hear()

    async def close(self) -> None:
        await self._stack.aclose()


class _Program(_Lines):
    """A server that is a program of this machine, over a socket that ends when we close it."""

    def __init__(self, server: McpServer) -> None:
        super().__init__()
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None
        self._end, self._its = socket.socketpair()

    async def open(self) -> None:
        self._end.setblocking(False)
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a few ms
                [self._server.command, *self._server.args],
                stdin=self._its.fileno(),
                stdout=self._its.fileno(),
                stderr=subprocess.DEVNULL,
                env={"PATH": _PATH, "LANG": "C.UTF-8", **self._server.env},
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"the MCP server cannot be started: {error.strerror}") from error
        finally:
            self._its.close()

    async def say(self, data: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._end, data)
        except OSError as error:
            raise Unavailable("the MCP server ended") from error

    async def hear(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._end, 1 << 16)
        except ConnectionError:  # it ended without having read all that was said
            return b""

    async def close(self) -> None:
        self._end.close()
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # its whole group, whatever it started
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)


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
