"""`dryad health`: how the installation is; exit 1 when it is unhealthy."""

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, group, print_json, print_rows, say

app = group("Show how the installation is.")


@app.command()
def health(*, as_json: Json = False) -> None:
    """Show how the installation is."""
    with api() as client:
        found = client.get("api/v1/health/status")
    if as_json:
        print_json(found)
    else:
        rows = [{"component": name, **detail} for name, detail in found["details"].items()]
        columns = ("component", "status", "reason", "latency_ms", "age_seconds")
        print_rows(rows, columns, as_json=False)
        say(f"the whole is {found['status']}")
    if found["status"] == "unhealthy":
        raise typer.Exit(1)
