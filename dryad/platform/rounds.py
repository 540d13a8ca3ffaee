"""What the keeper does over and over: each round is safe to repeat and to be killed in.

The ledger is the truth about tasks and questions, the Prefect server about processes; a round
looks at both and moves the one that lags behind.
"""

from dataclasses import dataclass
from datetime import timedelta

from dryad.adapters import NO_VECTORS
from dryad.bootstrap import Services
from dryad.foundation import logs
from dryad.foundation.errors import NotFound, Unavailable
from dryad.foundation.ids import RunId, TaskId
from dryad.foundation.stops import GLOBAL, Stop
from dryad.operations.health import Finding
from dryad.operations.objectives import recoverable
from dryad.orchestration.review.questions import Case
from dryad.orchestration.review.verdicts import WAKE_APPROVER
from dryad.orchestration.tasks import End, Task
from dryad.platform import drill_place
from dryad.runs import Runs, RunState

FORMLESS_AFTER = timedelta(seconds=60)
"""A suspended run without a form for so long has lost it: its process died in between."""

STOPS_WITHIN = timedelta(seconds=2)
"""How long a stopped run has to end itself before its process is ended."""

SETTLED_KEPT = timedelta(days=1)
"""How long it can be looked up what a step reserved; the accounts know for ever."""

log = logs.get_logger("keeper")


@dataclass(frozen=True)
class Rounds:
    """The rounds of one installation."""

    services: Services
    runs: Runs

    def send(self) -> None:
        """Give every submitted task its flow run: the API tries once, this makes sure."""
        for task in self.services.tasks.unsent():
            run = self.runs.submit(task.id, task.tenant)
            self.services.tasks.sent(task.id, run)
            log.info("task_sent", task=task.id, run=run)

    def reap(self) -> None:
        """Fence the processes that no longer renew their lease, then call their runs crashed."""
        for lease in self.services.journal.lapsed():
            if lease.run.startswith("keeper"):
                continue  # the next keeper takes it
            if self.services.journal.fence(lease):
                self.runs.mark_crashed(lease.run, "its process stopped renewing its lease")
                log.warning("run_reaped", run=lease.run, attempt=lease.attempt)

    def follow(self) -> None:
        """Bring tasks to where their runs are: crashed ones go on, ended ones end."""
        tasks = {task.run: task for task in self.services.tasks.carried() if task.run}
        states = self.runs.states(list(tasks))
        now = self.services.clock()
        for run, task in tasks.items():
            state = states.get(run)
            if state is None:
                self._end(task, "failed", "its flow run was deleted")
            else:
                self._follow(task, run, state, now - state.since)

    def settle(self) -> None:
        """Finish what ending a task began, where the process that ended it was killed half way.

        Questions about an ended task are closed, and a cancelled one has no run that goes on.
        """
        for task in self.services.cases.upkeep.forsaken():
            self.services.cases.upkeep.cancel(task, reason="its task has ended")
        live = self.runs.live()
        now = self.services.clock()
        for task in self.services.tasks.ended_of(live):
            assert task.run is not None
            halted = task.status == "refused" and not self.services.journal.is_carried(task.run)
            if task.status == "cancelled" or halted:
                self._halt(task.run, live[task.run], now - live[task.run].since)

    def halt(self) -> None:
        """End the tasks of runs that a stop covers and that did not end themselves.

        A step that is stopped ends its run within a second; this is for a process that hangs.
        """
        late = self.services.clock() - STOPS_WITHIN
        stops = [stop for stop in self.services.stops.list() if stop.set_at <= late]
        if not stops:
            return
        for task in self.services.tasks.carried():
            covered = next((stop for stop in stops if _covers(stop, task)), None)
            if task.status == "running" and covered is not None:
                self._end(task, "refused", f"stopped ({covered.scope}): {covered.reason}")

    def expire(self) -> None:
        """Close the questions nobody answered in time."""
        for case in self.services.cases.upkeep.expire():
            log.info("question_expired", case=case.id, task=case.task)

    def remind(self) -> None:
        """Say aloud which questions will soon count as no."""
        for one in self.services.talk.remind():
            log.warning("question_due_soon", case=one.case, task=one.task, due=one.due.isoformat())

    def appraise(self) -> None:
        """Raise an alarm about reviewers who say yes faster than anybody reads."""
        for one in self.services.reviews.quality(None):
            if one.rubber_stamp:
                seconds = one.median_seconds
                log.warning("rubber_stamp_alarm", reviewer=one.reviewer, median_seconds=seconds)

    def charge(self) -> None:
        """Charge in full what steps reserved that never came back."""
        if lapsed := self.services.budgets.settle_lapsed():
            log.warning("reservations_lapsed", count=lapsed)
        self.services.budgets.forget_settled(before=self.services.clock() - SETTLED_KEPT)

    def wake(self) -> None:
        """Let runs go on whose question is closed but whose form is still open."""
        for case in self.services.cases.upkeep.awaiting_wake():
            try:
                wake(self.services, self.runs, case)
            except Unavailable as reason:  # its form is not stored yet; the next round tries again
                log.warning("not_woken", case=case.id, reason=reason.message)

    def purge(self) -> None:
        """Forget what has expired or outlived its retention: values, documents, calls of tools."""
        self.services.archivist.purge()
        for tenant in self.services.tenants.list():
            self.services.erasure.expire(tenant.id)
        settings, services = self.services.settings, self.services
        kept, grace = settings.history_retention, settings.volume_grace
        services.tool_history.settle(kept=kept)
        services.volumes.tidy(self._is_over, grace=grace, kept=kept)

    def _is_over(self, task: str) -> bool:
        try:
            return self.services.tasks.find(TaskId(task)).ended
        except NotFound:
            return True  # a direct call's, or one that was forgotten

    def mirror(self) -> None:
        """Bring the mirrors of memory what they have yet to see; make lost ones anew."""
        for copy in self.services.mirrors.values():
            try:
                copy.keep()
            except Unavailable:  # the ledger answers meanwhile, and health says so
                continue

    def embed(self) -> None:
        """Give passages that have none yet their vectors, where an embedder is set."""
        if self.services.settings.embedder == "none":
            return
        for tenant in self.services.tenants.list():
            self.services.librarian.embed_pending(tenant.id)

    def rotate(self) -> None:
        """Begin new log files where the old ones are full."""
        settings = self.services.settings
        logs.rotate(settings.logs_dir, settings.log_rotate_bytes, settings.log_keep)

    def measure(self) -> None:
        """Look at every component once."""
        self.services.health.measure(
            {
                "database": self._database,
                "prefect": self._prefect,
                "worker": self._worker,
                "redis": self._short_term,
                "chromadb": self._long_term,
                "llm": self._llm,
                "sandbox": self._sandbox,
            }
        )

    def safeguard(self) -> None:
        """See whether everything could be recovered as promised; an alarm when it could not."""
        services = self.services

        def backups() -> Finding:
            return recoverable(services.backups, services.database, services.clock)

        found = services.health.measure({"backups": backups})["backups"]
        if found.status != "healthy":
            log.critical("recovery_objectives_missed", reason=found.reason)

    def sweep(self) -> None:
        """Remove what a killed drill left."""
        if drill_place.sweep(self.services.settings, self.services.backups.stores):
            log.warning("drill_was_killed")

    # -- following one run

    def _follow(self, task: Task, run: RunId, state: RunState, age: timedelta) -> None:
        settings = self.services.settings
        if state.type == "CRASHED" and age >= settings.crash_quiet:
            self._revive(task, run)
        elif state.type == "FAILED":
            self._end(task, "failed", state.message or "its flow run failed")
        elif state.type in {"CANCELLING", "CANCELLED"}:
            self._end(task, "cancelled", "its flow run was cancelled")
        elif state.type == "COMPLETED" and age >= settings.crash_quiet:
            self._end(task, "failed", f"its flow run ended {state.name} without a result")
        elif self.services.journal.is_carried(run):
            return
        elif state.type in {"PENDING", "RUNNING"} and age >= max(
            settings.run_begins_within, 3 * settings.lease
        ):  # what no worker reported: on a busy machine a process imports for a minute
            self.runs.mark_crashed(run, "no process carries it")
        elif state.type == "PAUSED" and state.pause_key and age >= FORMLESS_AFTER:
            self._mend_form(run, state.pause_key)

    def _halt(self, run: RunId, state: RunState, age: timedelta) -> None:
        """See that the run of a cancelled task stops, and that the server says so."""
        self.services.journal.revoke(run)
        if state.type != "CANCELLING":
            self.runs.cancel(run)
        elif age >= self.services.settings.crash_quiet:
            self.runs.mark_cancelled(run)

    def _revive(self, task: Task, run: RunId) -> None:
        settings = self.services.settings
        crashes = self.runs.crashes(run, apart=settings.crash_quiet)
        if crashes >= settings.max_attempts:
            self._end(task, "failed", f"its process died {crashes} times")
        elif self.runs.reschedule(run):
            log.warning("run_started_again", run=run, task=task.id, crashes=crashes)

    def _mend_form(self, run: RunId, key: str) -> None:
        """Give a run that lost its form another pass: it will ask afresh."""
        if not self.runs.form_stored(run, key):
            self.runs.store_form(run, key)
            self.runs.resume(run, key, {})
            log.warning("form_mended", run=run, key=key)

    def _end(self, task: Task, end: End, reason: str) -> None:
        self.services.tasks.finish(task.id, end, reason=reason)
        clear_away(self.services, task, reason)
        log.warning("task_ended_by_keeper", task=task.id, status=end, reason=reason)

    # -- probes

    def _database(self) -> Finding:
        self.services.database.ping()
        return Finding("healthy")

    def _prefect(self) -> Finding:
        self.runs.ping()
        return Finding("healthy")

    def _worker(self) -> Finding:
        online = [worker for worker in self.runs.workers() if worker.online]
        if not online:
            return Finding("unhealthy", "no worker is online: nothing starts")
        return Finding("healthy", f"{len(online)} online")

    def _short_term(self) -> Finding:
        copy = self.services.recent_copy
        if copy is None:
            return Finding("healthy", "embedded: short-term memory is in the ledger")
        if trouble := copy.trouble():
            waiting = f"{copy.states.waiting():,} changes wait"
            return Finding("degraded", f"the ledger answers, {waiting}: {trouble}")
        return Finding("healthy", "mirrors short-term memory")

    def _long_term(self) -> Finding:
        copy, searches = self.services.index_copy, self.services.librarian.searches_by
        if copy is not None:
            if trouble := copy.trouble():
                return Finding("degraded", f"the ledger answers, found by {searches}: {trouble}")
            return Finding("healthy", f"mirrors long-term memory, found by {searches}")
        if self.services.settings.chroma_url is not None:
            return Finding("degraded", f"not used, found by {searches}: {NO_VECTORS}")
        return Finding("healthy", f"embedded: in the ledger, found by {searches}")

    def _llm(self) -> Finding:
        degraded = self.services.models.degraded
        return Finding("degraded", degraded) if degraded else Finding("healthy")

    def _sandbox(self) -> Finding:
        return Finding("healthy", self.services.sandbox.name)


def _covers(stop: Stop, task: Task) -> bool:
    """Whether a stop covers the whole run of a task; one of an agent or tool covers its steps."""
    if stop.tenant not in {None, task.tenant}:
        return False
    return stop.scope in {GLOBAL, f"tenant:{task.tenant}", f"run:{task.run}"}


def clear_away(services: Services, task: Task, reason: str) -> None:
    """Stop what still happens for a task that somebody ended.

    The process that carries it may write nothing more, so no effect begins any more, and leaves
    when it notices. Questions are closed. Killed half way, this is completed by the keeper.
    """
    if task.run is not None:
        services.journal.revoke(task.run)
    services.cases.upkeep.cancel(task.id, reason=reason)
    services.forces.fail(task.id)


def wake(services: Services, runs: Runs, case: Case) -> None:
    """Let the run of a closed case go on, if the form it waits at is that case's.

    The answer that is sent only wakes: whoever reads it sees that nobody gave it.

    Raises:
        Unavailable: the server is away, or the form is not stored yet.
    """
    try:
        state = runs.state(case.run)
    except NotFound:
        services.cases.upkeep.woken(case.id)
        return
    if state.ended:
        services.cases.upkeep.woken(case.id)
    elif state.pause_key and state.pause_key.startswith(f"q{case.id}-"):
        runs.resume(
            case.run,
            state.pause_key,
            {
                "decision": f"reject #{case.id}",
                "reason": "The question is closed; this answer only wakes the run.",
                "approver": WAKE_APPROVER,
            },
        )
