"""`dryad config`: settings in force, and where they come from; works without a running API."""

from typing import Any

from pydantic import SecretStr

from dryad.cli.output import Json, ShowGroup, group, print_rows, say
from dryad.foundation.settings import load

app = group("Settings in force, and where they come from.", ShowGroup)


@app.command()
def show(*, as_json: Json = False) -> None:
    """Show every setting, secrets masked, and where its value came from."""
    _, origins = load()
    rows = [
        {"setting": one.name, "value": _masked(one.value), "origin": one.origin} for one in origins
    ]
    print_rows(rows, ("setting", "value", "origin"), as_json=as_json)


@app.command()
def check() -> None:
    """Say whether the settings can be used; what is wrong is named."""
    settings, _ = load()
    say(f"the settings are sound; home is {settings.home}")


def _masked(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, value)))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - of names
    return "********" if isinstance(value, SecretStr) else str(value)
