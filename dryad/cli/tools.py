"""`dryad tools`: what agents may call, and who was granted what."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from dryad.cli.client import api
from dryad.cli.output import (
    Json,
    ListGroup,
    Tenant,
    group,
    print_fields,
    print_json,
    print_rows,
    say,
)
from dryad.cli.tasks import json_object, read_object
from dryad.foundation.errors import InvalidRequest

app = group("What agents may call, and who was granted what.", ListGroup)

Role = Annotated[bool, typer.Option("--role", help="The principal is a role, not an agent.")]


@app.command("list")
def list_tools(
    *,
    active: Annotated[
        bool, typer.Option("--active", help="Only those that may be called.")
    ] = False,
    category: Annotated[str, typer.Option(help="Only those for this, as `search`.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List the tenant's tools, every version."""
    with api(tenant) as client:
        found = client.items("api/v1/tools", active_only=active, category=category)
    columns = ("name", "version", "tier", "kind", "category", "status", "description")
    print_rows(found, columns, as_json=as_json)


@app.command()
def show(
    tool: str,
    *,
    version: Annotated[str, typer.Option(show_default="the newest active")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Show one version of a tool."""
    with api(tenant) as client:
        print_fields(client.get(f"api/v1/tools/{tool}", version=version), as_json=as_json)


@app.command()
def grants(
    *,
    principal: Annotated[str, typer.Option(help="Only those of one agent or role.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List who was granted what."""
    with api(tenant) as client:
        found = client.items("api/v1/tools/grants", principal=principal)
    columns = ("principal", "principal_type", "tool", "conditions", "expires", "created_by")
    print_rows(found, columns, as_json=as_json)


@app.command()
def grant(
    principal: str,
    tool: str,
    *,
    role: Role = False,
    conditions: Annotated[str, typer.Option(help="Narrow it, a JSON object.")] = "{}",
    days: Annotated[
        float, typer.Option(help="How long it holds; 0: until it is revoked.", min=0)
    ] = 0,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Let an agent or a role call a tool."""
    body: dict[str, object] = {
        "principal": principal,
        "principal_type": "role" if role else "agent",
        "conditions": json_object(conditions, "--conditions"),
    }
    if days:
        body["expires"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    with api(tenant) as client:
        print_fields(client.post(f"api/v1/tools/{tool}/grants", body), as_json=as_json)


@app.command()
def revoke(principal: str, tool: str, *, role: Role = False, tenant: Tenant = "") -> None:
    """Take a grant back; the next call is refused."""
    kind = "role" if role else "agent"
    with api(tenant) as client:
        client.delete(f"api/v1/tools/{tool}/grants/{principal}", principal_type=kind)
    say(f"{principal} may no longer call {tool}")


@app.command()
def register(
    file: Annotated[
        Path, typer.Argument(help="The tool as JSON or YAML.", exists=True, dir_okay=False)
    ],
    *,
    code: Annotated[
        Path | None, typer.Option(help="The Python program of a script tool.", exists=True)
    ] = None,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Add a version of a tool; nobody may call it until it is granted."""
    body = read_object(file)
    if code is not None:
        config = {**body.get("config", {}), "code": code.read_text()}
        body = {"kind": "script", **body, "config": config}
    with api(tenant) as client:
        print_fields(client.post("api/v1/tools", body), as_json=as_json)


@app.command("import")
def import_document(
    file: Annotated[
        Path, typer.Argument(help="An OpenAPI 3 document.", exists=True, dir_okay=False)
    ],
    *,
    base: Annotated[str, typer.Option(show_default="the document's server")] = "",
    only: Annotated[list[str] | None, typer.Option(help="Only this operation.")] = None,
    tier: Annotated[list[str] | None, typer.Option(help="OPERATION=TIER")] = None,
    header: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, never shown.")] = None,
    private: Annotated[
        list[str] | None, typer.Option(help="A host of a private network it may reach.")
    ] = None,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Make each operation of an OpenAPI document a tool."""
    body = {
        "document": read_object(file),
        "base": base,
        "only": only or [],
        "tiers": _pairs(tier, "--tier"),
        "headers": _pairs(header, "--header"),
        "private_hosts": private or [],
    }
    with api(tenant) as client:
        made = client.post("api/v1/tools/import", body)
    if as_json:
        print_json(made)
    else:
        print_rows(made["tools"], ("name", "version", "tier", "description"), as_json=False)
    for name, reason in made["left_out"].items():
        say(f"left out {name}: {reason}")


@app.command()
def discover(
    server: Annotated[str, typer.Argument(help="Its name in `mcp.json` in the home.")],
    *,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Look what an MCP server has; each tool waits for a tier from a person."""
    with api(tenant) as client:
        found = client.post("api/v1/tools/discover", {"server": server})["items"]
    columns = ("name", "version", "tier", "status", "description")
    print_rows(found, columns, as_json=as_json)


@app.command()
def classify(
    tool: str,
    version: str,
    tier: Annotated[
        str, typer.Argument(help="read, reversible, irreversible, external or authority.")
    ],
    *,
    tenant: Tenant = "",
) -> None:
    """Say how risky a discovered tool is; only then may it be called."""
    with api(tenant) as client:
        client.put(f"api/v1/tools/{tool}/{version}/tier", {"tier": tier})
    say(f"tool {tool} {version} is of tier {tier}; next: `dryad tools grant AGENT {tool}`")


@app.command("set-status")
def set_status(
    tool: str,
    version: str,
    status: Annotated[str, typer.Argument(help="active, inactive, maintenance or deprecated.")],
    *,
    tenant: Tenant = "",
) -> None:
    """Let a version be called, or not."""
    with api(tenant) as client:
        client.put(f"api/v1/tools/{tool}/{version}/status", {"status": status})
    say(f"tool {tool} {version} is {status}")


@app.command()
def configure(
    tool: str,
    config: Annotated[str, typer.Argument(help="The whole configuration, a JSON object.")],
    *,
    version: Annotated[str, typer.Option(show_default="the newest active one")] = "",
    tenant: Tenant = "",
) -> None:
    """Set what a tool works with, such as the address `notify` sends to; it is never shown."""
    body = {"config": json_object(config, "CONFIG")}
    with api(tenant) as client:
        version = version or client.get(f"api/v1/tools/{tool}")["version"]
        client.put(f"api/v1/tools/{tool}/{version}/config", body)
    say(f"tool {tool} {version} is configured")


@app.command()
def edit(
    tool: str,
    version: str,
    *,
    description: Annotated[str, typer.Option(help="What it does; the model reads this.")] = "",
    category: Annotated[str, typer.Option(help="What it is for, as `search`.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Say anew what a version is for; what it takes and does never changes."""
    given = {"description": description, "category": category}
    body = {name: value for name, value in given.items() if value}
    with api(tenant) as client:
        print_fields(client.put(f"api/v1/tools/{tool}/{version}", body), as_json=as_json)


@app.command()
def delete(tool: str, version: str, *, tenant: Tenant = "") -> None:
    """Remove a version; its calls stay in the history, its name and version are never reused."""
    with api(tenant) as client:
        client.delete(f"api/v1/tools/{tool}/{version}")
    say(f"tool {tool} {version} is gone")


@app.command("interface")
def show_interface(
    tool: str,
    *,
    version: Annotated[str, typer.Option(show_default="the newest active")] = "",
    tenant: Tenant = "",
) -> None:
    """Print a tool's interface as an OpenAPI 3 document."""
    with api(tenant) as client:
        version = version or client.get(f"api/v1/tools/{tool}")["version"]
        print_json(client.get(f"api/v1/tools/{tool}/{version}/interface"))


@app.command("call")
def execute(
    agent: Annotated[str, typer.Argument(help="In whose name: its grants count.")],
    tool: str,
    arguments: Annotated[str, typer.Argument(help="A JSON object.")] = "{}",
    *,
    key: Annotated[str, typer.Option(help="Makes repeating the command harmless.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Call a tool now; one that a person would have to allow is refused."""
    body = {"agent": agent, "arguments": json_object(arguments, "ARGUMENTS"), "key": key}
    with api(tenant) as client:
        made = client.post(f"api/v1/tools/{tool}/execute", body)
    print_fields(made, as_json=as_json)
    if made["outcome"] != "done":
        raise typer.Exit(1)


@app.command()
def history(
    *,
    tool: Annotated[str, typer.Option(help="Only calls of one tool.")] = "",
    agent: Annotated[str, typer.Option(help="Only calls by one agent.")] = "",
    task: Annotated[str, typer.Option(help="Only calls on one task.")] = "",
    outcome: Annotated[
        str, typer.Option(help="Only done, failed, refused, doubtful or running ones.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List the calls that were made or refused, newest first."""
    with api(tenant) as client:
        found = client.items(
            "api/v1/tools/history",
            tool=tool, agent=agent, task=task, outcome=outcome, limit=limit,
        )  # fmt: skip
    columns = ("id", "started", "agent", "tool", "version", "outcome", "seconds", "task", "reason")
    print_rows(found, columns, as_json=as_json)


@app.command()
def sessions(
    *,
    tool: Annotated[str, typer.Option(help="Only sessions of one tool.")] = "",
    agent: Annotated[str, typer.Option(help="Only sessions of one agent.")] = "",
    task: Annotated[str, typer.Option(help="Only sessions of one task.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List sessions, the last used first: all calls of a tool by one agent on one task."""
    with api(tenant) as client:
        found = client.items("api/v1/tools/sessions", tool=tool, agent=agent, task=task)
    columns = ("id", "agent", "tool", "task", "calls", "done", "seconds", "last", "volume")
    print_rows(found, columns, as_json=as_json)


@app.command()
def volumes(*, tenant: Tenant = "", as_json: Json = False) -> None:
    """List what stateful tools keep, the last used first."""
    with api(tenant) as client:
        found = client.items("api/v1/tools/volumes")
    columns = ("session", "tool", "agent", "task", "status", "size_bytes", "used")
    print_rows(found, columns, as_json=as_json)


@app.command()
def sanitise(
    session: Annotated[str, typer.Argument(help="As `dryad tools volumes` shows it.")],
    *,
    tenant: Tenant = "",
) -> None:
    """Overwrite what a session keeps, now; its next call begins with nothing."""
    with api(tenant) as client:
        client.delete(f"api/v1/tools/volumes/{session}")
    say(f"volume {session} is sanitised")


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or ()]
    for name, separator, _ in pairs:
        if not name or not separator:
            raise InvalidRequest(f"{option} wants NAME=VALUE")
    return {name: value for name, _, value in pairs}
