"""What a validation is: each level ships the checks that prove its effects on an installation.

A check tries the thing itself and looks at what came of it, in a tenant of its own, and takes away
what it made; only labelled audit rows, log lines and the run's history stay.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dryad.foundation.errors import DryadError
from dryad.foundation.ids import TenantId

TENANT = TenantId("validation")
"""Whose everything is that a check makes."""

AGENT = "validator"
"""Who acts in a check."""


@dataclass(frozen=True)
class Check:
    """One effect that must show."""

    name: str
    """What holds, in a few words."""
    prove: Callable[[], str]
    """Tries it; returns '' or, in words, what went otherwise. Raising is a failure too."""
    mend: str
    """The command that mends it, or shows more."""


@dataclass(frozen=True)
class Finding:
    """How one check went."""

    check: str
    cause: str
    """'' when it holds."""
    mend: str
    seconds: float


@dataclass(frozen=True)
class Validation:
    """How the checks of one level went."""

    level: int
    name: str
    findings: tuple[Finding, ...]

    @property
    def percent(self) -> int:
        """Checks that hold, of all; 100 only when every one does."""
        holding = sum(not finding.cause for finding in self.findings)
        return 100 * holding // len(self.findings)


def validate(level: int, name: str, checks: Sequence[Check]) -> Validation:
    """Make every check, one after the other; none keeps another from being made."""
    return Validation(level, name, tuple(_made(check) for check in checks))


def _made(check: Check) -> Finding:
    began = time.monotonic()
    try:
        cause = check.prove()
    except DryadError as error:
        cause = error.message
    except Exception as error:  # noqa: BLE001 - the failure is the finding
        cause = f"{type(error).__name__}: {error}"
    return Finding(check.name, cause, check.mend, round(time.monotonic() - began, 3))
