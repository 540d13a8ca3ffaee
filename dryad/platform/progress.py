"""What `dryad up` and `dryad down` tell while they work, also from one process to another."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from dryad.foundation import errors
from dryad.foundation.errors import DryadError, Unavailable


@dataclass(frozen=True)
class Progress:
    """One step: told when it begins (`seconds` is None) and when it is done."""

    step: str
    detail: str = ""
    seconds: float | None = None


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Tell nobody."""


@contextmanager
def step(report: Report, name: str) -> Generator[list[str]]:
    """Tell that a step begins and, unless it fails, that it is done.

    What the block appends to the list is told with the end.
    """
    began, details = time.monotonic(), list[str]()
    report(Progress(name))
    yield details
    report(Progress(name, "\n".join(details), round(time.monotonic() - began, 2)))


def failure(error: DryadError) -> str:
    """Return one line from which another process makes the same error."""
    told = {"code": error.code, "message": error.message, "next_step": error.next_step}
    return orjson.dumps(told).decode()


def failed(line: str) -> DryadError | None:
    """Return the error of a line that `failure` made; None for any other line."""
    try:
        told: dict[str, Any] = orjson.loads(line)
        code, message, next_step = told["code"], told["message"], told["next_step"]
    except (ValueError, KeyError, TypeError):
        return None
    known = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = {kind.code: kind for kind in known if issubclass(kind, DryadError)}
    return kinds.get(code, Unavailable)(message, next_step)
