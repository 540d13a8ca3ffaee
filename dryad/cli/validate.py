"""`dryad validate`: prove that each level does what it is for; works without a running API."""

from typing import Annotated

import typer

from dryad.cli.local import services
from dryad.cli.output import Json, group, print_rows, say

app = group("Prove that each level does what it is for.")


@app.command()
def validate(
    levels: Annotated[list[int] | None, typer.Argument(help="0, 1, …; default all.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Prove that each level does what it is for.

    Its effects are tried on this installation; exit 1 when one does not show.

    Everything happens in the tenant `validation` and is taken away again.
    """
    from dryad.gates import validate_levels  # noqa: PLC0415 - heavy: not for help

    with services() as opened:
        found = validate_levels(opened, levels or [])
    rows = [
        {
            "level": one.level,
            "name": one.name,
            "percent": one.percent,
            "check": finding.check,
            "holds": not finding.cause,
            "cause": finding.cause,
            "mend": finding.mend if finding.cause else "",
            "seconds": finding.seconds,
        }
        for one in found
        for finding in one.findings
    ]
    columns = ("level", "name", "check", "holds", "cause", "mend")
    print_rows(rows, columns, as_json=as_json)
    for one in found:
        say(f"level {one.level} ({one.name}): {one.percent} %")
    if any(one.percent < 100 for one in found):
        raise typer.Exit(1)
