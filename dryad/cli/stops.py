"""`dryad stop` and `dryad lift`: kill switches."""

import sys
from typing import Annotated

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, Tenant, group, print_fields, print_rows, say
from dryad.cli.signing import Approver, Code, signed
from dryad.foundation.errors import InvalidRequest

app = group("Kill switches.")

_SCOPES = "global, tenant:ID, agent:ID, tool:NAME or run:ID."


@app.command()
def stop(
    scope: Annotated[str, typer.Argument(help=_SCOPES)] = "",
    *,
    reason: Annotated[str, typer.Option(help="Why; who is refused reads it.")] = "",
    listed: Annotated[bool, typer.Option("--list", help="List what is stopped.")] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Set a kill switch."""
    with api(tenant) as client:
        if listed:
            found = client.items("api/v1/stops")
            print_rows(found, ("scope", "reason", "set_by", "set_at"), as_json=as_json)
            return
        if not scope or not reason.strip():
            raise InvalidRequest("a stop needs a scope and a reason", f"Scopes: {_SCOPES}")
        made = client.post("api/v1/stops", {"scope": scope, "reason": reason})
    print_fields(made, as_json=as_json)
    say(f"{scope} is stopped; let it go on with `dryad lift {scope} --reason '…'`")


@app.command()
def lift(
    scope: Annotated[str, typer.Argument(help=_SCOPES)],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "",
    confirm: Annotated[str, typer.Option(help="The scope again; in single-user mode.")] = "",
    approver: Approver = "",
    code: Code = "",
    code_for_form: Annotated[
        bool, typer.Option("--code-for-form", help="Only show the code by which you may lift it.")
    ] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Lift a kill switch.

    Who set it cannot; in single-user mode its scope is typed again.
    """
    claim = signed(approver, code)
    if code_for_form:
        with api(tenant) as client:
            print_fields(
                client.post("api/v1/stops/lift/code", {"scope": scope, **claim}), as_json=as_json
            )
        return
    if not reason.strip():
        raise InvalidRequest("lifting needs a reason", "Add --reason '…'; it is kept.")
    if not approver and not confirm and sys.stdin.isatty():
        confirm = typer.prompt(f"type {scope} to let it go on", err=True)
    with api(tenant) as client:
        made = client.post(
            "api/v1/stops/lift",
            {"scope": scope, "reason": reason, "confirm": confirm, **claim},
        )
    print_fields(made, as_json=as_json)
    say(f"{scope} goes on")
