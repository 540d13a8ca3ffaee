"""What the values of settings look like when they are written as text."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of each unit of a duration."""


def _duration(value: object) -> object:
    """Read `30s`, `5m`, `24h`, `7d`, `250ms`; leave everything else to pydantic."""
    if isinstance(value, str) and (
        match := re.fullmatch(r"([\d.]+)\s*(ms|s|m|h|d)", value.strip())
    ):
        return timedelta(seconds=float(match[1]) * UNITS[match[2]])
    return value


def names(value: object) -> object:
    """Read a comma separated list; leave everything else to pydantic."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _blank_is_unset(value: object) -> object:
    return None if value == "" else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_unset)]
OptionalText = Annotated[str | None, BeforeValidator(_blank_is_unset)]
OptionalPath = Annotated[Path | None, BeforeValidator(_blank_is_unset)]
Names = Annotated[tuple[str, ...], BeforeValidator(names)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(names)]


def setting(default: Any = ..., description: str = "", *, runbook: str = "", **limits: Any) -> Any:
    """Declare one setting; `runbook` is the older name that the runbook's users know."""
    return Field(default, description=description, json_schema_extra={"runbook": runbook}, **limits)
