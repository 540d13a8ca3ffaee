"""One attack on one guarantee, as data."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from dryad.execution.sandbox.port import (
    Guarantee,
    Language,
    Limits,
    SandboxResult,
    Violation,
)

QUICK = Limits(wall_seconds=8, cpu_seconds=4, memory_bytes=128_000_000, processes=24)
"""Enough for honest code, little enough that a bomb ends soon."""

SHORT = replace(QUICK, wall_seconds=0.4)

PRELUDE = """\
import ctypes, errno, json, os, signal, socket, subprocess, sys, threading, time
world = json.load(open('world.json'))
libc = ctypes.CDLL(None, use_errno=True)
def escaped(*what):
    print('ESCAPED', *what, flush=True)
"""
"""Comes before every attack in Python; an attack that got through calls `escaped`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What is tried, against which guarantee, and what must be seen when it holds.

    `outside` says who may try the same code without a sandbox, where it must get through: `anyone`,
    `root`, or '' when that would not be safe or says nothing.
    """

    name: str
    guarantee: Guarantee
    code: str
    language: Language = "python"
    limits: Limits = QUICK
    outside: Literal["anyone", "root", ""] = ""
    expect: Violation | None = None
    check: Callable[[SandboxResult], None] | None = None

    @property
    def script(self) -> str:
        """The whole code."""
        return PRELUDE + self.code if self.language == "python" else self.code


def outward(
    guarantee: Guarantee,
    name: str,
    code: str,
    outside: Literal["anyone", "root", ""] = "anyone",
) -> Attack:
    """An attack on what lies outside, which needs no bounds of its own."""
    return Attack(name=name, guarantee=guarantee, code=code, outside=outside)


def ended_in_time(result: SandboxResult) -> None:
    """Assert that a run with little time was killed soon after it."""
    assert result.wall_seconds < 2.5, result
    assert result.exit_code == 137, result
