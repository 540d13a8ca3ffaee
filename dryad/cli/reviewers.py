"""`dryad reviewers`: who may answer questions."""

import io
import sys
from typing import Annotated, Any

import typer

from dryad.cli.client import api
from dryad.cli.local import services
from dryad.cli.output import (
    Json,
    ListGroup,
    Tenant,
    group,
    print_fields,
    print_json,
    print_rows,
    print_text,
    say,
)

app = group("Who may answer questions.", ListGroup)

_COLUMNS = ("id", "name", "roles", "tenants", "keys", "status", "failures", "created")

_QUALITY = ("reviewer", "decisions", "approval_rate", "override_rate", "median_seconds")


@app.command("list")
def list_reviewers(*, as_json: Json = False) -> None:
    """List every reviewer."""
    with api() as client:
        found = client.items("api/v1/reviewers")
        single = client.get("api/v1/reviewers/mode")["single_user"]
    print_rows(found, _COLUMNS, as_json=as_json)
    if single:
        say("single-user mode: who answers is unverified; `dryad reviewers add` ends that for good")


@app.command()
def quality(
    *,
    days: Annotated[int, typer.Option(min=1, help="How far back is looked.")] = 30,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Show how long reviewers took, how often they said yes, and who only stamps."""
    with api(tenant) as client:
        found = client.items("api/v1/reviewers/quality", days=days)
    print_rows(found, _QUALITY, as_json=as_json)
    for one in found:
        if one["rubber_stamp"]:
            say(f"{one['reviewer']} says yes faster than a question can be read")


@app.command()
def add(
    reviewer: Annotated[str, typer.Argument(help="How they call themselves when they answer.")],
    *,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    role: Annotated[list[str] | None, typer.Option(help="What policies may ask for.")] = None,
    of: Annotated[
        list[str] | None, typer.Option(help="Tenant whose questions are theirs.", show_default="*")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="API key they work with: what it asks for they never approve."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Enrol a reviewer and show the QR code for their authenticator, this once.

    The first one ends single-user mode for good.
    """
    body: dict[str, Any] = {
        "id": reviewer, "name": name, "roles": role or [], "tenants": of or ["*"], "keys": key or []
    }  # fmt: skip
    with api() as client:
        _show(client.post("api/v1/reviewers", body), as_json=as_json)


@app.command()
def renew(reviewer: str, *, as_json: Json = False) -> None:
    """Give a reviewer a new seed, for a new device; the old codes count no longer."""
    with api() as client:
        _show(client.post(f"api/v1/reviewers/{reviewer}/renew"), as_json=as_json)


@app.command()
def suspend(reviewer: str, *, as_json: Json = False) -> None:
    """Let a reviewer's answers count no longer."""
    _set(reviewer, "suspended", as_json=as_json)


@app.command()
def restore(reviewer: str, *, as_json: Json = False) -> None:
    """Let a suspended reviewer's answers count again."""
    _set(reviewer, "active", as_json=as_json)


@app.command("single-user")
def single_user(
    *, confirm: Annotated[str, typer.Option(help="The sentence that is asked for.")] = ""
) -> None:
    """Suspend all reviewers and let everybody approve again, unverified; at this machine only."""
    with services() as opened:
        opened.reviewers.return_to_single_user(by="cli", typed=confirm)
    say("single-user mode: who answers is unverified; it is on record")


def _set(reviewer: str, status: str, *, as_json: bool) -> None:
    with api() as client:
        found = client.put(f"api/v1/reviewers/{reviewer}/status", {"status": status})
    print_fields(found, as_json=as_json)


def _show(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    import segno  # noqa: PLC0415 - only who enrols needs it

    if sys.stdout.isatty():
        picture = io.StringIO()
        segno.make(made["uri"], error="m").terminal(out=picture, compact=True)
        sys.stdout.write(picture.getvalue())  # steers the terminal, and is ours
    print_text(made["uri"])
    who = made["reviewer"]["id"]
    say(f"{who}: scan it with an authenticator now, it cannot be shown again")
    say(f"they answer with `dryad answer ID --approve --reason '…' --as {who}`")
