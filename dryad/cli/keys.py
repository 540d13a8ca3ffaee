"""`dryad keys`: who may call the API."""

from typing import Annotated

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, ListGroup, Tenant, group, print_json, print_rows, print_text, say

app = group("Who may call the API.", ListGroup)


@app.command("list")
def list_keys(*, tenant: Tenant = "", as_json: Json = False) -> None:
    """List the tenant's keys, also those no longer accepted."""
    with api(tenant) as client:
        found = client.items("api/v1/keys")
    columns = ("id", "name", "scopes", "created", "expires", "revoked", "last_used")
    print_rows(found, columns, as_json=as_json)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    *,
    scopes: Annotated[
        str,
        typer.Option(help="Of tasks:read, tasks:write, review, memory, admin, operator; commas."),
    ] = "tasks:read,tasks:write",
    expires: Annotated[str, typer.Option(help="A time with its zone.", show_default="never")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Make a key; it is printed this once and never again."""
    body = {
        "name": name,
        "scopes": [scope.strip() for scope in scopes.split(",") if scope.strip()],
        "expires": expires or None,
    }
    with api(tenant) as client:
        _print_new(client.post("api/v1/keys", body), as_json=as_json)


@app.command()
def rotate(
    key: Annotated[str, typer.Argument(help="Id of the key.")],
    *,
    overlap_hours: Annotated[float, typer.Option(min=0, help="Both are accepted so long.")] = 24,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Make a successor with the same rights; it is printed this once and never again."""
    body = {"overlap_seconds": int(overlap_hours * 3600)}
    with api(tenant) as client:
        _print_new(client.post(f"api/v1/keys/{key}/rotate", body), as_json=as_json)


@app.command()
def revoke(key: str, *, tenant: Tenant = "") -> None:
    """Accept a key no longer, from now on."""
    with api(tenant) as client:
        client.delete(f"api/v1/keys/{key}")
    say(f"key {key} is no longer accepted")


def _print_new(made: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        print_text(made["text"])
        say(f"key {made['id']}; keep it now, it cannot be shown again")
