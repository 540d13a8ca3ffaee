"""What every route works with: the services, the run client, and the counters."""

import time
from threading import Lock

from dryad.api.meter import Meter
from dryad.bootstrap import Services
from dryad.foundation.errors import DryadError
from dryad.foundation.ids import TenantId
from dryad.foundation.logs import get_logger
from dryad.orchestration.review.questions import Case
from dryad.orchestration.tasks import Task
from dryad.platform.rounds import wake
from dryad.runs import Runs

_PING_HOLDS = 2.0

log = get_logger("api")


class Edge:
    """One per process; opens what it needs on first use."""

    def __init__(self, services: Services, runs: Runs) -> None:
        """Take what the process opened.

        Args:
            services: The wired library.
            runs: The run client; impatient, because the keeper repeats what failed.
        """
        self.services = services
        self.health = services.health  # now: its uptime is this process's
        self.runs = runs
        self.meter = Meter(services.tasks.counts)
        self._lock = Lock()
        self._pinged: tuple[float, str] | None = None

    def send(self, task: Task) -> None:
        """Start the run of a task at once if the server lets us; else the keeper will."""
        try:
            run = self.runs.submit(task.id, TenantId(task.tenant))
            self.services.tasks.sent(task.id, run)
        except DryadError as error:
            log.warning("send_postponed", task=task.id, tenant=task.tenant, reason=error.message)

    def stop(self, task: Task) -> None:
        """Stop the run of a cancelled task if it has one; else the keeper will."""
        if task.run is None:
            return
        try:
            self.runs.cancel(task.run)
        except DryadError as error:
            log.warning("stop_postponed", task=task.id, tenant=task.tenant, reason=error.message)

    def wake(self, case: Case) -> None:
        """Let the run that waits for a closed case go on; else the keeper will."""
        try:
            wake(self.services, self.runs, case)
        except DryadError as error:
            log.warning("wake_postponed", case=case.id, tenant=case.tenant, reason=error.message)

    def database_fault(self) -> str:
        """Return why the database does not answer, or ''."""
        try:
            self.services.database.ping()
        except DryadError as error:
            return error.message
        return ""

    def prefect_fault(self) -> str:
        """Return why Prefect does not answer, or ''; asked at most every two seconds."""
        with self._lock:
            if self._pinged is None or time.monotonic() - self._pinged[0] > _PING_HOLDS:
                try:
                    self.runs.ping()
                    fault = ""
                except DryadError as error:
                    fault = error.message
                self._pinged = (time.monotonic(), fault)
            return self._pinged[1]
