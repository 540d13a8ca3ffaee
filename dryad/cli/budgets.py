"""`dryad budget`: what may be used, and was used."""

from typing import Annotated, Any

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, ShowGroup, Tenant, group, print_json, print_rows, say
from dryad.foundation.errors import InvalidRequest

app = group("What may be used, and was used.", ShowGroup)

_COLUMNS = ("account", "resource", "cap", "spent", "reserved", "left")


@app.command()
def show(
    account: Annotated[str, typer.Argument(help="project:NAME, task:ID or task: for all.")] = "",
    *,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Show the tenant's accounts, or those whose name begins so."""
    with api(tenant) as client:
        found = client.items("api/v1/budgets", begins=account)
    _print(found, as_json=as_json)


@app.command("set")
def set_caps(
    changes: Annotated[
        list[str],
        typer.Argument(help="[project:NAME] RESOURCE=NUMBER …; RESOURCE=none is no limit."),
    ],
    *,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Limit what the tenant, a project or a task may use; tenants and projects per 30 days.

    Resources are tokens, cost_usd, requests, tool_calls, wall_seconds, depth and fan_out.
    """
    account = changes[0] if "=" not in changes[0] else ""
    caps = dict(_cap(change) for change in (changes[1:] if account else changes))
    if not caps:
        raise InvalidRequest("nothing to set", "Write RESOURCE=NUMBER, such as tokens=1000000.")
    with api(tenant) as client:
        made = client.put("api/v1/budgets", {"account": account, "caps": caps})
    _print([made], as_json=as_json)
    say("the next step obeys")


def _cap(change: str) -> tuple[str, float | None]:
    name, _, text = change.partition("=")
    try:
        return name, None if text == "none" else float(text)
    except ValueError as error:
        raise InvalidRequest(f"{change!r} is no limit", "Write RESOURCE=NUMBER.") from error


def _print(accounts: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(accounts)
        return
    rows = [
        {"account": one["account"] or "(tenant)", "resource": resource, **line}
        for one in accounts
        for resource, line in one["lines"].items()
        if line["cap"] is not None or line["spent"] or line["reserved"]
    ]
    print_rows(rows, _COLUMNS, as_json=False)
