"""`dryad audit`: prove and export who decided what; works without a running API."""

import json
import sys
from typing import Annotated

import typer

from dryad.cli.local import services
from dryad.cli.output import Json, group, print_rows, say

app = group("Prove and export who decided what.")


@app.command()
def verify(
    *,
    tenant: Annotated[str, typer.Option(show_default="every tenant")] = "",
    as_json: Json = False,
) -> None:
    """Follow each chain from its first row; name the first row that is not as it was written."""
    with services() as opened:
        tenants = [tenant] if tenant else [one.id for one in opened.tenants.list()]
        found = [opened.audit.verify(opened.tenants.get(one).id) for one in tenants]
    rows = [
        {
            "tenant": one.tenant,
            "intact": one.intact,
            "rows": one.rows,
            "first_bad": one.bad,
            "reason": one.reason,
            "unanchored": one.unanchored,
        }
        for one in found
    ]
    columns = ("tenant", "intact", "rows", "first_bad", "reason", "unanchored")
    print_rows(rows, columns, as_json=as_json)
    if not all(one.intact for one in found):
        say("stop writing, keep the files, and look at who could write the database")
        raise typer.Exit(1)


@app.command()
def export(*, tenant: Annotated[str, typer.Option()] = "default") -> None:
    """Print a tenant's chain in order, one JSON object a line."""
    with services() as opened:
        for row in opened.audit.export(opened.tenants.get(tenant).id):
            sys.stdout.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
