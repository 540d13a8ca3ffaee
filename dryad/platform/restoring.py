"""How the supervisor restores: stop, switch, start, look, and go back when it is not good."""

from collections.abc import Callable
from pathlib import Path

from dryad.foundation.errors import DryadError
from dryad.operations.restores import paths
from dryad.platform.plan import STOP_ORDER, Plan
from dryad.platform.progress import Progress, Report, step
from dryad.platform.supervisor import Supervisor

_SECONDS = 4 * 3600.0
"""The longest a switch may take: PostgreSQL may have to end what is connected."""


class Restoring:
    """Restores of one running installation."""

    def __init__(
        self,
        home: Path,
        plan: Plan,
        supervisor: Supervisor,
        start: Callable[[], None],
        report: Report,
    ) -> None:
        self._home, self._plan, self._supervisor = home, plan, supervisor
        self._start, self._report = start, report

    def recover(self) -> bool:
        """Before anything starts: bring what was cut off to one state; whether there was any."""
        if not paths.restores(self._home).is_dir():
            return False
        with step(self._report, "restores") as details:
            details.append(self._do("recover"))
        return bool(details[-1])

    def is_asked_for(self) -> bool:
        """Whether a restore waits for the switch."""
        return paths.request_file(self._home).exists()

    def carry_out(self) -> None:
        """Switch to the restore that is asked for, or be as before; then work goes on."""
        with step(self._report, "restore") as details:
            self._halt()
            details.append(self._tried("switch"))
        self.begin()
        self.tell()

    def begin(self) -> None:
        """Start what is in place and look at it; go back to what was before when it is not good."""
        try:
            self._start()
            self._do("settle")
        except DryadError as error:
            self._halt()
            self._report(Progress("restore", f"going back: {error.message}"))
            self._do("roll-back")
            self._start()

    def tell(self) -> None:
        """Start the runs that tell of restores that ended."""
        self._tried("report")

    def _halt(self) -> None:
        self._supervisor.halt(STOP_ORDER, lambda name: self._report(Progress(f"stopping {name}")))

    def _do(self, chore: str) -> str:
        return self._supervisor.finish(self._plan.restoring(chore), seconds=_SECONDS).strip()

    def _tried(self, chore: str) -> str:
        try:
            return self._do(chore)
        except DryadError as error:  # everything is as before, and goes on
            return error.message
