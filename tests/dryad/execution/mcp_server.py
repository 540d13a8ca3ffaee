"""An MCP server made with the protocol's own library: `NOTES [stdio | PORT stream|json] [SAID]`."""

import os
import sys
from pathlib import Path

from mcp.server import MCPServer

notes, how, said = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
server = MCPServer("shop")


@server.tool(description=said)
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
def environment() -> list[str]:
    """Say which variables there are."""
    return sorted(os.environ)


@server.tool()
def note(text: str) -> str:
    """Write a text down."""
    with notes.open("a") as file:
        file.write(text + "\n")
    return "written"


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no luck today")


@server.tool()
def die() -> str:
    """End the server without an answer."""
    os._exit(3)


if how == "stdio":
    server.run()
else:
    port, _, form = how.partition("/")
    server.run("streamable-http", port=int(port), json_response=form == "json")
