"""The worker type `dryad`: its runs start warm, cannot outlive it, and finish before it leaves.

Found by `prefect worker start --type dryad` through the entry point group `prefect.collections`.
"""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any, ClassVar, cast
from uuid import UUID

import anyio
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter
from prefect.logging import get_logger
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Crashed
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from deployments import handoff, pool, spare
from dryad.foundation.clock import utc_now
from dryad.foundation.environment import load
from dryad.foundation.settings import Settings
from dryad.platform import tether
from dryad.platform.scratch import scratch

DUE_EVENTS = [f"prefect.flow-run.{name}" for name in ("Scheduled", "Resuming", "AwaitingRetry")]
DEPLOYED_EVENTS = [f"prefect.deployment.{name}" for name in ("created", "updated")]
_REPORT_SECONDS = 0.5
"""What the worker is given to report how its last run ended."""
_LOOK_AFTER_SECONDS = (0.0, 0.02, 0.1)
"""When to look for a run that an event told of: the event may come before the run is stored."""
_LONGEST_PAUSE_SECONDS = 600.0
_DEPLOYING_SECONDS = 1.0
"""One deployment rarely comes alone."""

log = get_logger("workers.dryad")


class DryadJobConfiguration(ProcessJobConfiguration):
    """How one flow run is started; only the command differs from Prefect's process worker."""

    default_command: ClassVar[list[str]] = []

    def prepare_for_flow_run(self, *args: Any, **kwargs: Any) -> None:
        """Choose the command, unless the deployment or the run names its own."""
        if self.command is None:
            self.command = shlex.join(self.default_command)
        super().prepare_for_flow_run(*args, **kwargs)


class DryadWorker(ProcessWorker):
    """Prefect's process worker with these differences.

    A run is carried by a process that has imported everything already (`pool.py`); where none is
    to be had, by one that imports for itself. The server's events wake the worker; asking at
    intervals is the net. A run's process dies with the worker, and never imports from its working
    directory. A run that is due again while its former process has not ended yet waits for that
    end. A worker that follows a killed one of its name first reports the runs that died with it.

    After a deployment, or SIGHUP, later runs begin with the code as it is then. SIGTERM or SIGINT
    drains: no new run is taken, the worker leaves when the last one has ended. A second signal
    leaves at once; the runs die, and their leases let others carry them on.
    """

    type = "dryad"
    job_configuration = DryadJobConfiguration

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._draining, self._due, self._deployed = (asyncio.Event() for _ in range(3))
        self._looking = asyncio.Lock()
        self._begun, self._mourned = utc_now(), False
        self._working: set[UUID] = set()
        self._limited = kwargs.get("limit") is not None
        self._pool: asyncio.subprocess.Process | None = None

    @classmethod
    def get_description(cls) -> str:
        """Say in the UI what the type is."""
        return "Runs each flow run in a warm process that cannot outlive its worker."

    @property
    def client(self) -> PrefectClient:
        """The client of the server; of what is due it shows what this worker does not hold yet."""
        return cast("PrefectClient", _Unheld(super().client, self._held))

    async def start(self, *args: Any, **kwargs: Any) -> None:
        """Work until drained; see the class."""
        settings, _ = load()
        with scratch("dryad-worker-") as directory:
            address = str(directory / "pool")
            DryadJobConfiguration.default_command = run_command(address, settings)
            async with anyio.create_task_group() as group:
                self._heed_signals(group.cancel_scope)
                group.start_soon(self._leave_when_drained, group.cancel_scope)
                group.start_soon(self._keep_pool, address, settings)
                group.start_soon(self._listen)
                group.start_soon(self._look_when_due)
                group.start_soon(self._reload_when_deployed)
                await super().start(*args, **kwargs)
                group.cancel_scope.cancel()

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take what is due, unless draining or full."""
        async with self._looking:
            if self._draining.is_set() or (self._limited and not self.limiter.available_tokens):
                return []
            if not self._mourned:
                await self._mourn()
                self._mourned = True
            return await super().get_and_submit_flow_runs()

    async def run(self, *args: Any, **kwargs: Any) -> ProcessWorkerResult:
        """Carry one run until its process ends."""
        flow_run: FlowRun = kwargs["flow_run"] if "flow_run" in kwargs else args[0]
        self._working.add(flow_run.id)
        try:
            result = await super().run(*args, **kwargs)
            await self._end_cancelling(flow_run)
            return result
        finally:
            self._working.discard(flow_run.id)
            self._due.set()

    # -- helpers

    def _heed_signals(self, scope: anyio.CancelScope) -> None:
        def asked_to_stop() -> None:
            if self._draining.is_set():
                scope.cancel()
            self._draining.set()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, asked_to_stop)
        loop.add_signal_handler(signal.SIGINT, asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._deployed.set)

    async def _end_cancelling(self, run: FlowRun) -> None:
        """Report cancelled a run whose process has ended and that is still being cancelled.

        Prefect misses a cancelling that comes in the moment the process starts; the process then
        refuses to begin, and nobody would say so.
        """
        state = (await self.client.read_flow_run(run.id)).state
        if state is not None and state.is_cancelling():
            cancelled = Cancelled(message="cancelled before it began")
            await self.client.set_flow_run_state(run.id, cancelled)

    async def _mourn(self) -> None:
        """Report crashed what the worker before this one carried: its processes died with it."""
        unended = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
        found = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=unended))
        )
        for run in found:
            if self._was_carried_before(run):
                await self.client.set_flow_run_state(
                    run.id, Crashed(message="its worker was killed")
                )

    def _was_carried_before(self, run: FlowRun) -> bool:
        """Whether the worker before this one had it, or was killed before its name was on it."""
        if "prefect.worker.name" in run.labels:
            return run.labels["prefect.worker.name"] == self.name
        taken = run.state is not None and run.state.timestamp < self._begun
        return taken and run.work_pool_name == self.work_pool.name

    async def _keep_pool(self, address: str, settings: Settings) -> None:
        """Keep the pool alive; while there is none, runs start cold."""
        how = "fork" if settings.worker_forks and sys.platform == "linux" else "start"
        what = [address, str(settings.worker_spares), how]
        command = tied([sys.executable, "-P", "-m", pool.__name__, *what])
        set_values = get_current_settings().to_environment_variables(exclude_unset=True)
        pause = 1.0
        while settings.worker_spares:
            self._pool = await asyncio.create_subprocess_exec(
                *command, env={**os.environ, **set_values}
            )
            try:
                status = await self._pool.wait()
            finally:
                if self._pool.returncode is None:
                    self._pool.kill()
                    with anyio.CancelScope(shield=True):
                        await self._pool.wait()
            log.error("The pool ended (%s): runs start cold for %.0f s.", status, pause)
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _listen(self) -> None:
        """Notice when a run of this work pool becomes due, or when something is deployed to it."""
        while True:
            await anyio.sleep(1)
            try:
                pool = EventAnyResourceFilter(id=[f"prefect.work-pool.{self.work_pool.id}"])
                names = EventNameFilter(name=DUE_EVENTS + DEPLOYED_EVENTS)
                ours = EventFilter(event=names, any_resource=pool)
                async with get_events_subscriber(ours, reconnection_attempts=0) as events:
                    self._due.set()  # for what came while nobody listened
                    async for event in events:
                        (self._deployed if event.event in DEPLOYED_EVENTS else self._due).set()
            except Exception as error:  # noqa: BLE001 - whatever it is, the worker asks at intervals
                log.debug("No event stream for now: %s", error)

    async def _look_when_due(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            before = self._held()
            for pause in _LOOK_AFTER_SECONDS:
                await anyio.sleep(pause)
                if {run.id for run in await self.get_and_submit_flow_runs()} - before:
                    break

    async def _reload_when_deployed(self) -> None:
        while True:
            await self._deployed.wait()
            await anyio.sleep(_DEPLOYING_SECONDS)
            self._deployed.clear()
            if self._pool is not None and self._pool.returncode is None:
                self._pool.send_signal(signal.SIGHUP)

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


class _Unheld:
    """Prefect's client, whose due runs are only those not held; one taken twice ends a worker."""

    def __init__(self, client: PrefectClient, held: Callable[[], set[object]]) -> None:
        self._whole = client
        self._held = held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    async def get_scheduled_flow_runs_for_work_pool(
        self, *args: Any, **kwargs: Any
    ) -> list[WorkerFlowRunResponse]:
        due = await self._whole.get_scheduled_flow_runs_for_work_pool(*args, **kwargs)
        held = self._held()
        return [one for one in due if one.flow_run.id not in held]


def run_command(address: str, settings: Settings) -> list[str]:
    """Return the command that carries a flow run, by the pool at `address` or by itself.

    `-P` keeps the run's working directory, a temporary one, off the import path.
    """
    hand_over = [handoff.__file__, str(os.getpid()), address, str(settings.run_memory_bytes)]
    cold = [sys.executable, "-P", "-m", spare.__name__]
    return [sys.executable, "-I", "-S", *hand_over, *cold]


def tied(command: list[str]) -> list[str]:
    """Return a command that ends when this process does."""
    return [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command]
