"""`dryad decisions`: who does a task, and why."""

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
    print_text,
)
from dryad.orchestration.explanation import explain

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
    """Explain one decision: why it was taken, and what would have changed it."""
    with api(tenant) as client:
        found = client.get(f"api/v1/decisions/{decision}")
    if as_json:
        print_json(found)
    else:
        print_text(explain(found))


@app.command()
def statistics(*, tenant: Tenant = "", as_json: Json = False) -> None:
    """Add decisions up: by route, how often a person decided otherwise, how often they regret."""
    with api(tenant) as client:
        print_fields(client.get("api/v1/decisions/statistics"), as_json=as_json)
