"""`dryad agents`: who does the work."""

from typing import Annotated

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, ListGroup, Tenant, group, print_fields, print_rows, say
from dryad.cli.tasks import awaited, json_object

PROBE = "Say in one sentence that you are ready."
"""What an agent is asked to show that it works."""

app = group("Who does the work.", ListGroup)


@app.command("list")
def list_agents(*, tenant: Tenant = "", as_json: Json = False) -> None:
    """List the tenant's agents and how they did."""
    with api(tenant) as client:
        found = client.items("api/v1/agents")
    columns = ("id", "role", "status", "capabilities", "runs", "successes", "health")
    print_rows(found, columns, as_json=as_json)


@app.command()
def find(
    capabilities: Annotated[list[str], typer.Argument(help="What it must be able to do.")],
    *,
    optional: Annotated[
        list[str] | None, typer.Option(help="What is welcome beside it.", show_default=False)
    ] = None,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Find the active agents that can do all of it, best first."""
    with api(tenant) as client:
        found = client.items(
            "api/v1/agents/discovery", capability=capabilities, optional=optional or []
        )
    columns = ("id", "capabilities", "runs", "reliability", "mean_cost_usd", "health")
    print_rows(found, columns, as_json=as_json)


@app.command()
def show(agent: str, *, tenant: Tenant = "", as_json: Json = False) -> None:
    """Show one agent."""
    with api(tenant) as client:
        print_fields(client.get(f"api/v1/agents/{agent}"), as_json=as_json)


@app.command()
def register(
    agent: Annotated[str, typer.Argument(help="Its id: lower-case letters, digits, - and _.")],
    *,
    role: Annotated[str, typer.Option(help="What it is in a team.")],
    capabilities: Annotated[str, typer.Option(help="A JSON object, as in '{\"research\": 0.8}'.")],
    name: Annotated[str, typer.Option(help="For people.", show_default="its id")] = "",
    goal: Annotated[str, typer.Option()] = "",
    instructions: Annotated[str, typer.Option()] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Add an agent; it may call nothing until tools are granted to it."""
    body = {
        "id": agent,
        "name": name or agent,
        "role": role,
        "goal": goal,
        "instructions": instructions,
        "capabilities": json_object(capabilities, "--capabilities"),
    }
    with api(tenant) as client:
        made = client.post("api/v1/agents", body)
    print_fields(made, as_json=as_json)
    say(f"let it call a tool with `dryad tools grant {agent} TOOL`")


@app.command()
def probe(agent: str, *, tenant: Tenant = "", as_json: Json = False) -> None:
    """Give an agent a small task and wait; how it ends counts towards its health and rank."""
    body = {"text": PROBE, "agent": agent}
    with api(tenant) as client:
        task = awaited(client, client.post("api/v1/tasks", body))
        found = client.get(f"api/v1/agents/{agent}")
    print_fields({"probe": task["status"], "reason": task["reason"], **found}, as_json=as_json)
    if task["status"] != "done":
        raise typer.Exit(1)


@app.command()
def change(
    agent: str,
    *,
    goal: Annotated[str | None, typer.Option(help="What it is for.", show_default=False)] = None,
    capabilities: Annotated[
        str, typer.Option(help="All it can do, a JSON object as in '{\"research\": 0.8}'.")
    ] = "",
    status: Annotated[
        str | None,
        typer.Option(help="active, inactive, maintenance or error.", show_default=False),
    ] = None,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Change goal, capabilities or status; id, role, instructions and model never change."""
    able = json_object(capabilities, "--capabilities") if capabilities else None
    body = {"goal": goal, "capabilities": able, "status": status}
    with api(tenant) as client:
        found = client.patch(f"api/v1/agents/{agent}", body)
    print_fields(found, as_json=as_json)


@app.command("set-status")
def set_status(
    agent: str,
    status: Annotated[str, typer.Argument(help="active, inactive, maintenance or error.")],
    *,
    tenant: Tenant = "",
) -> None:
    """Let an agent be chosen, or not."""
    with api(tenant) as client:
        client.put(f"api/v1/agents/{agent}/status", {"status": status})
    say(f"agent {agent} is {status}")
