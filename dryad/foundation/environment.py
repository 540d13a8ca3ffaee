"""The one reader of the environment: settings from there, from `.env`, or by default.

A field `x` is set by `DRYAD_X`; fields the runbook knows by an older name take that too. Values
come from the environment, then from `.env`, then from the default. `DRYAD_X` and the runbook's
name set to different values are refused, as is a `DRYAD_*` nobody knows.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from dotenv import dotenv_values
from pydantic import ValidationError

from dryad.foundation.errors import InvalidRequest
from dryad.foundation.settings import Settings


class Origin(NamedTuple):
    """Where one value came from: `default`, or a variable's name with its file if any."""

    name: str
    value: Any
    origin: str


RESERVED = frozenset({"DRYAD_BENCH", "DRYAD_TEST"})
"""Prefixes of variables that belong to benchmarks and tests, not to an installation."""


def load(
    environ: Mapping[str, str] | None = None, *, directory: Path | None = None
) -> tuple[Settings, list[Origin]]:
    """Read the settings in force, and say where each came from.

    Args:
        environ: The environment; default the process's.
        directory: Where `.env` and the nearest `.dryad/` upward are looked for; default the
            working directory.

    Raises:
        InvalidRequest: an unknown `DRYAD_*`, two names at odds, or a value out of bounds.
    """
    environ = os.environ if environ is None else environ
    directory = (directory or Path.cwd()).resolve()
    dotenv = {
        name: value
        for name, value in dotenv_values(directory / ".env", interpolate=False).items()
        if value is not None
    }
    _refuse_unknown(environ, "the environment")
    _refuse_unknown(dotenv, ".env")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for field in Settings.model_fields:
        found = _lookup(field, environ, dotenv)
        if found is not None:
            values[field], origins[field] = found
    if "home" not in values:
        values["home"] = _nearest_home(directory)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise InvalidRequest(_explain(error, origins), "Run `dryad config check`.") from error
    return settings, [
        Origin(name, getattr(settings, name), origins.get(name, "default"))
        for name in Settings.model_fields
    ]


def runbook_name(field: str) -> str:
    """Return the runbook's older variable of a field, or ''."""
    extra = cast("dict[str, str]", Settings.model_fields[field].json_schema_extra)
    return extra["runbook"]


def _lookup(
    field: str, environ: Mapping[str, str], dotenv: Mapping[str, str]
) -> tuple[str, str] | None:
    ours, theirs = f"DRYAD_{field.upper()}", runbook_name(field)
    for source, place in ((environ, ""), (dotenv, " (.env)")):
        a, b = source.get(ours), source.get(theirs) if theirs else None
        if a is not None and b is not None and a != b:
            raise InvalidRequest(
                f"{ours} and {theirs} are both set{place}, to different values",
                f"Remove one of them; {ours} is the current name.",
            )
        if a is not None:
            return a, ours + place
        if b is not None:
            return b, theirs + place
    return None


def _refuse_unknown(source: Mapping[str, str], place: str) -> None:
    known = {f"DRYAD_{field.upper()}" for field in Settings.model_fields}
    for name in source:
        if not name.startswith("DRYAD_") or name in known:
            continue
        if any(name == prefix or name.startswith(prefix + "_") for prefix in RESERVED):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else "`dryad config show` lists all of them."
        raise InvalidRequest(f"{name} in {place} is not a setting of DRYAD", hint)


def _nearest_home(directory: Path) -> Path:
    for parent in (directory, *directory.parents):
        if (parent / ".dryad").is_dir():
            return parent / ".dryad"
    return directory / ".dryad"


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    parts: list[str] = []
    for problem in error.errors(include_input=False, include_url=False):
        field = str(problem["loc"][0]) if problem["loc"] else "settings"
        name = origins.get(field, f"DRYAD_{field.upper()}")
        parts.append(f"{name}: {problem['msg']}")
    return "; ".join(parts)
