"""`dryad tenants`: whose data there is."""

from typing import Annotated

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, ListGroup, group, print_fields, print_rows, say

app = group("Whose data there is.", ListGroup)


@app.command("list")
def list_tenants(*, as_json: Json = False) -> None:
    """List the tenants you see."""
    with api() as client:
        found = client.items("api/v1/tenants")
    print_rows(found, ("id", "name", "status", "created"), as_json=as_json)


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Its id: lower-case letters, digits, - and _.")],
    *,
    name: Annotated[str, typer.Option(help="For people.", show_default="its id")] = "",
    as_json: Json = False,
) -> None:
    """Add a tenant."""
    with api() as client:
        made = client.post("api/v1/tenants", {"id": tenant, "name": name or tenant})
    print_fields(made, as_json=as_json)
    say(f"make it a key with `dryad keys create NAME --tenant {tenant} --scopes tasks:read,…`")
