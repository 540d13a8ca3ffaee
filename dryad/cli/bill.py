"""`dryad bill`: which packages are installed, signed by this installation; needs no running API."""

from pathlib import Path

import typer

from dryad.cli.local import services
from dryad.cli.output import Json, group, print_rows, say
from dryad.foundation.errors import InvalidRequest

app = group("Which packages are installed, signed.")


@app.command()
def make(file: Path) -> None:
    """Write the signed bill of materials (CycloneDX, JSON) of what is installed now."""
    from dryad.operations import bill  # noqa: PLC0415 - its library is slow to import

    with services() as opened:
        made = bill.make(opened.secrets.audit_key)
    try:
        file.write_bytes(made)
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}") from error
    say(f"keep a copy elsewhere; compare later with `dryad bill verify {file}`")


@app.command()
def verify(file: Path, *, as_json: Json = False) -> None:
    """Compare what is installed with a bill: its signature, each package, each file."""
    from dryad.operations import bill  # noqa: PLC0415 - its library is slow to import

    try:
        text = file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}") from error
    with services() as opened:
        found = bill.verify(opened.secrets.audit_key, text)
    rows = [{"package": one.package, "what": one.what} for one in found]
    print_rows(rows, ("package", "what"), as_json=as_json)
    if found:
        say("this is not what the bill says; was it you? then make a new one")
        raise typer.Exit(1)
    say("everything is as the bill says")
