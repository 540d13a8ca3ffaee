"""What `dryad up` and `dryad down` tell while they work."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass


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
    report(Progress(name, "; ".join(details), round(time.monotonic() - began, 2)))
