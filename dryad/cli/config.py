"""`dryad config`: settings in force, and where they come from; works without a running API."""

from dryad.cli.output import Json, ShowGroup, group, print_rows, say
from dryad.foundation.environment import load
from dryad.foundation.settings_text import shown

app = group("Settings in force, and where they come from.", ShowGroup)


@app.command()
def show(*, as_json: Json = False) -> None:
    """Show every setting, secrets masked, and where its value came from."""
    _, origins = load()
    rows = [one._asdict() for one in shown(origins)]
    print_rows(rows, ("name", "value", "origin"), as_json=as_json)


@app.command()
def check() -> None:
    """Say whether the settings can be used; what is wrong is named."""
    settings, _ = load()
    say(f"the settings are sound; home is {settings.home}")
