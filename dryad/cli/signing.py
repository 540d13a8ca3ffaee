"""How a reviewer signs at the command line: their id, and a code of their own."""

import sys
from typing import Annotated

import typer

Approver = Annotated[str, typer.Option("--as", help="Your id as a reviewer.")]
Code = Annotated[str, typer.Option("--code", help="Your one-time code; asked for at a terminal.")]


def signed(approver: str, code: str) -> dict[str, str]:
    """Return who answers, with a code that is asked for at a terminal."""
    if approver and not code and sys.stdin.isatty():
        code = typer.prompt(f"code of {approver}", hide_input=True, err=True)
    return {"approver": approver, "code": code}
