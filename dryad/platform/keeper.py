"""The keeper: one process that does the installation's rounds until it is stopped.

Each round has its own thread and pace, so one that hangs or fails holds up no other. Of two
keepers only the later one works: it takes the lease, the other one leaves.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from dryad.bootstrap import Services
from dryad.foundation import logs
from dryad.foundation.environment import load
from dryad.foundation.errors import DryadError, Superseded
from dryad.foundation.ids import RunId
from dryad.foundation.journal import Lease
from dryad.operations.objectives import SAFEGUARD_EVERY
from dryad.platform.rounds import Rounds
from dryad.runs import Runs

KEEPER = RunId("keeper")
"""The lease that makes one keeper the only one."""

log = logs.get_logger("keeper")


@dataclass
class Beat:
    """One round, how often it is made, and how the last one went."""

    name: str
    make: Callable[[], None]
    seconds: float
    error: str = ""
    succeeded: datetime | None = field(default=None)


class Keeper:
    """Makes every round at its pace until told to stop."""

    def __init__(self, services: Services, runs: Runs) -> None:
        self._services = services
        rounds = Rounds(services, runs)
        self._beats = [
            Beat("send", rounds.send, 2),
            Beat("wake", rounds.wake, 2),
            Beat("follow", rounds.follow, 5),
            Beat("settle", rounds.settle, 5),
            Beat("reap", rounds.reap, 5),
            Beat("expire", rounds.expire, 5),
            Beat("halt", rounds.halt, 1),
            Beat("remind", rounds.remind, 15),
            Beat("charge", rounds.charge, 15),
            Beat("measure", rounds.measure, 15),
            Beat("rotate", rounds.rotate, 15),
            Beat("mirror", rounds.mirror, 2),
            Beat("embed", rounds.embed, 15),
            Beat("appraise", rounds.appraise, 3600),
            Beat("purge", rounds.purge, 300),
            Beat("safeguard", rounds.safeguard, SAFEGUARD_EVERY.total_seconds()),
            Beat("sweep", rounds.sweep, 60),
        ]
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let every round come to its end."""
        self._stopping.set()

    def keep(self) -> None:
        """Make the rounds until stopped, or until a newer keeper takes over."""
        holder = f"{socket.gethostname()}:{os.getpid()}"
        lease = self._services.journal.claim(KEEPER, holder=holder)
        threads = [
            threading.Thread(target=self._repeat, args=(beat,), name=beat.name, daemon=True)
            for beat in self._beats
        ]
        for thread in threads:
            thread.start()
        log.info("keeper_started", rounds=[beat.name for beat in self._beats])
        self._stay(lease)
        for thread in threads:
            thread.join(timeout=5)
        log.info("keeper_stopped")

    def _stay(self, lease: Lease) -> None:
        period = self._services.settings.lease.total_seconds() / 3
        while not self._stopping.wait(period):
            try:
                self._services.journal.renew(lease)
                self._report()
            except Superseded:
                log.warning("keeper_superseded")
                self.stop()
            except DryadError as error:
                log.warning("keeper_lease_not_renewed", reason=error.message)

    def _repeat(self, beat: Beat) -> None:
        while not self._stopping.is_set():
            try:
                beat.make()
                beat.succeeded, beat.error = self._services.clock(), ""
            except Exception as error:  # noqa: BLE001 - kept, logged and shown by health
                beat.error = f"{type(error).__name__}: {error}"
                log.error("round_failed", round=beat.name, reason=beat.error)  # noqa: TRY400 - structured
            self._stopping.wait(beat.seconds)

    def _report(self) -> None:
        """Tell health how the rounds go."""
        failing = [f"{beat.name}: {beat.error}" for beat in self._beats if beat.error]
        self._services.health.record(
            "keeper", "degraded" if failing else "healthy", "; ".join(failing)
        )


def main() -> None:
    """Keep the installation of this environment; ends at SIGTERM."""
    settings, _ = load()
    runs = Runs.of(settings)
    services = Services(settings, answers=runs, component="keeper")
    keeper = Keeper(services, runs)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: keeper.stop())
    try:
        keeper.keep()
    finally:
        services.close()
        runs.close()


if __name__ == "__main__":
    sys.exit(main())
