"""`dryad decisions`: who does a task, and why."""

from typing import Annotated

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, ListGroup, Tenant, group, print_fields, print_rows

app = group("Who does a task, and why.", ListGroup)


@app.command("list")
def list_decisions(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List decisions, newest first."""
    with api(tenant) as client:
        found = client.items("api/v1/decisions", limit=limit)
    print_rows(found, ("id", "task", "route", "score", "tier", "reasons"), as_json=as_json)


@app.command()
def show(
    decision: Annotated[str, typer.Argument(help="Its own id, or its task's.")],
    *,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Show one decision with its reasons and what would have changed it."""
    with api(tenant) as client:
        print_fields(client.get(f"api/v1/decisions/{decision}"), as_json=as_json)
