"""Settings as text: as they would be written in `.env`, and as anybody may see them."""

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple, cast

from pydantic import SecretStr

from dryad.foundation.environment import Origin
from dryad.foundation.setting_types import UNITS
from dryad.foundation.settings import Settings

MASK = "********"


class Shown(NamedTuple):
    """One setting as anybody may see it."""

    name: str
    """Its variable, `DRYAD_X`."""
    value: str
    """As it would be written in `.env`; '' is not set, and a secret is masked."""
    origin: str
    """`default`, or the variable it came from, with ` (.env)` if that is where it stood."""
    description: str


def shown(origins: Iterable[Origin]) -> list[Shown]:
    """Return what `load` found in a form that gives no secret away."""
    described = {name: field.description or "" for name, field in Settings.model_fields.items()}
    return [
        Shown(f"DRYAD_{name.upper()}", as_text(value), origin, described[name])
        for name, value, origin in origins
    ]


def as_text(value: object) -> str:
    """Return a value as it is written in the environment; of a secret only what is harmless."""
    match value:
        case None:
            return ""
        case SecretStr():
            return _masked(value.get_secret_value())
        case bool():
            return str(value).lower()
        case timedelta():
            return _written(value)
        case tuple() | frozenset():
            parts = [str(part) for part in cast("Iterable[object]", value)]
            return ",".join(parts if isinstance(value, tuple) else sorted(parts))
        case _:
            return str(value)


def _masked(secret: str) -> str:
    """A URL without its password still says which server is meant; all else is hidden whole."""
    scheme, found, rest = secret.partition("://")
    if not found:
        return MASK
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}://{user}{colon and ':' + MASK}{at}{place.partition('?')[0]}"


def _written(duration: timedelta) -> str:
    milliseconds = round(duration.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = int(UNITS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
