"""A recovery drill: the newest set becomes a scratch installation, which is started and validated.

Nothing of the live installation is touched: the scratch one has its own home, databases, ports and
Prefect server. Its global stop is never lifted, so it does nothing and sends nothing.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dryad.foundation import logs
from dryad.foundation.clock import utc_now
from dryad.foundation.errors import DryadError, Refused, Unavailable
from dryad.foundation.settings import Settings
from dryad.operations.backups.installed import backups_of
from dryad.operations.drills import Drill
from dryad.operations.restores.loss import loss
from dryad.operations.restores.offline import restore_offline
from dryad.platform import environment
from dryad.platform.drill_place import scratch_installation

_COMMAND_SECONDS = 900

log = logs.get_logger("drill")


@dataclass
class _Clockwork:
    """Measures steps one after the other."""

    report: Callable[[str], None]
    steps: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def step(self, name: str, told: str) -> Generator[None]:
        began = time.monotonic()
        self.report(told)
        yield
        self.steps[name] = round(time.monotonic() - began, 2)


def drill(
    settings: Settings,
    wanted: str = "newest",
    *,
    report: Callable[[str], None] = lambda _told: None,
) -> Drill:
    """Recover from a set in a scratch place, measure, and take everything away again.

    `report` hears of each step as it begins.

    Raises:
        NotFound: there is no set.
        Refused: it cannot be read.
        Conflict: another drill of this installation is at work.
    """
    live = backups_of(settings)
    found = live.find(wanted)
    if found.manifest is None:
        raise Refused(f"set {found.id} cannot be read: {found.why}", "Use another set.")
    age = utc_now() - found.manifest.started
    measured, problems = _Clockwork(report), list[str]()
    with scratch_installation(settings, live.stores) as scratch:
        try:
            with measured.step("restore", f"restoring set {found.id} beside this installation"):
                backups, anchor = backups_of(scratch), scratch.audit_anchor
                assert anchor is not None
                lost = loss(backups, found.manifest)
                restore_offline(backups, anchor, found, loss=lost, copy_first=False)
            with measured.step("start", "starting it, with its global stop set"):
                _dryad(scratch, "up", "--detach")
            with measured.step("validate", "validating its levels"):
                problems += _validated(scratch)
        except DryadError as error:
            problems.append(error.message)
        finally:
            _down(scratch)
    ended = Drill(found.id, measured.steps, age, tuple(problems))
    if ended.missed:
        log.critical("recovery_objectives_missed", set=found.id, missed=ended.missed)
    return ended


def _validated(scratch: Settings) -> list[str]:
    """Validate the scratch installation; return, in words, what does not hold."""
    rows = json.loads(_dryad(scratch, "validate", "--json", check=False) or "[]")
    if not rows:
        return ["the validation said nothing"]
    return [f"level {row['level']}: {row['check']}: {row['cause']}" for row in rows if row["cause"]]


def _dryad(scratch: Settings, *arguments: str, check: bool = True) -> str:
    """Run one command in the scratch installation and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dryad", *arguments],
        env=environment.joined(environment.inherited(), environment.exported(scratch)),
        cwd=scratch.home,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    if check and done.returncode != 0:
        said = done.stderr.strip().splitlines()[-2:]
        raise Unavailable(f"dryad {arguments[0]} failed in the drill: {' '.join(said)}")
    return done.stdout


def _down(scratch: Settings) -> None:
    _dryad(scratch, "down", check=False)
