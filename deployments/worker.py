"""The worker type `dryad`: its runs cannot outlive it, and asked to stop it lets them finish.

Found by `prefect worker start --type dryad` through the entry point group `prefect.collections`.
"""

import asyncio
import os
import shlex
import signal
import sys
from typing import Any
from uuid import UUID

import anyio
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from dryad.platform import tether

_REPORT_SECONDS = 0.5
"""What the worker is given to report how its last run ended."""


class DryadJobConfiguration(ProcessJobConfiguration):
    """How one flow run is started; only the command differs from Prefect's process worker."""

    def prepare_for_flow_run(self, *args: Any, **kwargs: Any) -> None:
        """Choose the command, unless the deployment or the run names its own."""
        if self.command is None:
            self.command = shlex.join(engine_command(os.getpid()))
        super().prepare_for_flow_run(*args, **kwargs)


class DryadWorker(ProcessWorker):
    """Prefect's process worker with four differences.

    A run's process dies with the worker, and never imports from its working directory. A run that
    is due again while its former process has not ended yet waits for that end. A worker that
    follows a killed one of its name first reports the runs that died with it. SIGTERM or
    SIGINT drains: no new run is taken, the worker leaves when the last one has ended. A second
    signal leaves at once; the runs die, and their leases let others carry them on. (The stock
    worker leaves at once and its runs work on, out of reach of cancellation.)
    """

    type = "dryad"
    job_configuration = DryadJobConfiguration

    _display_name = "DRYAD"
    _description = "Runs each flow run as a process that cannot outlive its worker."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._draining = asyncio.Event()
        self._mourned = False
        self._working: set[UUID] = set()
        self._limited = kwargs.get("limit") is not None

    async def start(self, *args: Any, **kwargs: Any) -> None:
        """Work until drained; see the class."""
        async with anyio.create_task_group() as group:

            def asked_to_stop() -> None:
                if self._draining.is_set():
                    group.cancel_scope.cancel()
                self._draining.set()

            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, asked_to_stop)
            group.start_soon(self._leave_when_drained, group.cancel_scope)
            await super().start(*args, **kwargs)
            group.cancel_scope.cancel()

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take what is due, unless draining."""
        if self._draining.is_set():
            return []
        if not self._mourned:
            await self._mourn()
            self._mourned = True
        return await super().get_and_submit_flow_runs()

    async def _mourn(self) -> None:
        """Report crashed what the worker before this one carried: its processes died with it."""
        unended = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
        found = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=unended))
        )
        for run in found:
            if run.labels.get("prefect.worker.name") == self.name:
                await self._propose_crashed_state(run, "its worker was killed")

    async def _submit_scheduled_flow_runs(
        self, flow_run_response: list[WorkerFlowRunResponse]
    ) -> list[FlowRun]:
        """Leave for later what this worker still holds; taking it twice ends the stock worker."""
        held = self._held()
        free = [due for due in flow_run_response if due.flow_run.id not in held]
        return await super()._submit_scheduled_flow_runs(free)

    async def run(self, *args: Any, **kwargs: Any) -> ProcessWorkerResult:
        """Carry one run until its process ends."""
        flow_run: FlowRun = kwargs["flow_run"] if "flow_run" in kwargs else args[0]
        self._working.add(flow_run.id)
        try:
            return await super().run(*args, **kwargs)
        finally:
            self._working.discard(flow_run.id)

    async def _leave_when_drained(self, scope: anyio.CancelScope) -> None:
        await self._draining.wait()
        while self._held():  # noqa: ASYNC110 - Prefect tells nobody when a slot is freed
            await anyio.sleep(0.1)
        await anyio.sleep(_REPORT_SECONDS)
        scope.cancel()

    def _held(self) -> set[object]:
        """Return the runs that have a process, are about to, or still hold a slot."""
        slots = self.limiter.statistics().borrowers if self._limited else ()
        return {*self._working, *slots}


def engine_command(worker: int) -> list[str]:
    """Return the command that carries a flow run on and dies with the process `worker`.

    `-P` keeps the run's working directory, a temporary one, off the import path.
    """
    tied = [sys.executable, "-I", "-S", tether.__file__, str(worker)]
    return [*tied, sys.executable, "-P", "-m", "prefect.engine"]
