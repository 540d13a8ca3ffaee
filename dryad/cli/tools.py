"""`dryad tools`: what agents may call, and who was granted what."""

from typing import Annotated

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, ListGroup, Tenant, group, print_fields, print_rows, say
from dryad.cli.tasks import json_object

app = group("What agents may call, and who was granted what.", ListGroup)

Role = Annotated[bool, typer.Option("--role", help="The principal is a role, not an agent.")]


@app.command("list")
def list_tools(
    *,
    active: Annotated[
        bool, typer.Option("--active", help="Only those that may be called.")
    ] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List the tenant's tools, every version."""
    with api(tenant) as client:
        found = client.items("api/v1/tools", active_only=active)
    columns = ("name", "version", "tier", "kind", "status", "description")
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
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Let an agent or a role call a tool."""
    body = {
        "principal": principal,
        "principal_type": "role" if role else "agent",
        "conditions": json_object(conditions, "--conditions"),
    }
    with api(tenant) as client:
        print_fields(client.post(f"api/v1/tools/{tool}/grants", body), as_json=as_json)


@app.command()
def revoke(principal: str, tool: str, *, role: Role = False, tenant: Tenant = "") -> None:
    """Take a grant back; the next call is refused."""
    kind = "role" if role else "agent"
    with api(tenant) as client:
        client.delete(f"api/v1/tools/{tool}/grants/{principal}", principal_type=kind)
    say(f"{principal} may no longer call {tool}")


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
