"""The wired library, opened once per process, after any fork."""

from functools import cache

from blocks.model_keys import key_of
from dryad.bootstrap import Services
from dryad.foundation.environment import load
from dryad.runs import Runs


@cache
def runs() -> Runs:
    """Return this process's client of the Prefect server."""
    settings, _ = load()
    return Runs.of(settings)


@cache
def services() -> Services:
    """Return this process's services."""
    settings, _ = load()
    return Services(settings, answers=runs(), component="run", model_keys=key_of)
