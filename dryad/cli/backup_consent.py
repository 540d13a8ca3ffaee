"""`dryad backup consent`: the code by which a reviewer lets a restore go on in the Prefect UI."""

from typing import Annotated

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, print_fields
from dryad.cli.signing import Approver, Code, signed


def consent(
    wanted: Annotated[str, typer.Argument(help="The set that would replace everything.")],
    *,
    run: Annotated[str, typer.Option(help="The flow run that waits; its form says it.")],
    approver: Approver,
    code: Code = "",
    as_json: Json = False,
) -> None:
    """Show the code by which you may consent to a restore, in the form of that one run."""
    with api("") as client:
        made = client.post(
            f"api/v1/backups/{wanted}/consent", {"run": run, **signed(approver, code)}
        )
    print_fields(made, as_json=as_json)
