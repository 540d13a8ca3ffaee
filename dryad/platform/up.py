"""`dryad up` and what goes with it: `down`, `status`, `env`."""

import os
import signal
import time
from dataclasses import dataclass, field
from functools import partial

from dryad.foundation import logs
from dryad.foundation.errors import NotFound, Unavailable
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.platform import detached, environment, preflight
from dryad.platform.instance import Instance, born, kill_tree, wait_gone
from dryad.platform.plan import API, CHROMA, KEEPER, SERVER, STOP_ORDER, WORKER, Plan
from dryad.platform.progress import Progress, Report, silent, step
from dryad.platform.restoring import Restoring
from dryad.platform.supervisor import Supervisor

READY_SECONDS = 180.0
_OTHERS_STOP_SECONDS = 60.0
"""What API, keeper and server may take to stop, with room to spare."""

log = logs.get_logger("platform")


@dataclass(frozen=True)
class Access:
    """Where a person finds a running installation, and what opens it."""

    ui_url: str
    api_url: str
    login: str = field(repr=False)
    """What the Prefect UI asks for on the first visit, as one text."""


@dataclass(frozen=True)
class ProcessStatus:
    """One process of the installation as it is now."""

    name: str
    pid: int
    state: str
    """starting | ready | waiting (dead, about to be started again) | dead"""
    age_seconds: float
    restarts: int
    port: int | None


def up(
    settings: Settings,
    *,
    detach: bool = False,
    demo: bool = False,
    reset_schedules: bool = False,
    report: Report = silent,
) -> None:
    """Start this installation and keep it running until it is asked to stop.

    Args:
        settings: The installation's.
        detach: Return when everything is ready, leaving it to a process of its own.
        demo: Ingest the project's documentation and submit three tasks, once.
        reset_schedules: Wake the schedules and deployments an operator paused.
        report: Told every step; `ready` is the last one before the work begins.

    Raises:
        Conflict: it runs already.
        Refused: this Python is not supported, or the database is newer than this code.
        Unavailable: something did not start; the message ends with what it said.
    """
    if detach:
        detached.start(settings, demo=demo, reset_schedules=reset_schedules, report=report)
        return
    began = time.monotonic()
    instance = Instance(settings.home)
    preflight.check_python()
    preflight.check_writable(settings.home, "home", "DRYAD_HOME")
    with instance.claimed():
        _prepare(settings, instance, report)
        secrets = Secrets.create_or_read(settings.secrets_path)
        plan, supervisor = Plan(settings, secrets), Supervisor(instance)
        supervisor.heed_signals()
        start = partial(_start, plan, supervisor, report, reset_schedules=reset_schedules)
        restoring = Restoring(settings.home, plan, supervisor, start, report)
        try:
            cut_off = restoring.recover()
            restoring.begin() if cut_off else start()
            if cut_off:
                restoring.tell()
            if demo:
                _demonstrate(plan, supervisor, report)
            if not supervisor.stopping:
                seconds = round(time.monotonic() - began, 2)
                log.info("installation_ready", seconds=seconds)
                report(Progress("ready", settings.dryad_url, seconds))
            while not supervisor.stopping:
                supervisor.watch(until=restoring.is_asked_for)
                if not supervisor.stopping:
                    restoring.carry_out()
        finally:
            supervisor.stop(STOP_ORDER, lambda name: report(Progress(f"stopping {name}")))
            plan.close()
            log.info("installation_stopped")


def _prepare(settings: Settings, instance: Instance, report: Report) -> None:
    with step(report, "checks") as details:
        for orphan in instance.end_orphans():
            details.append(f"ended {orphan.name}, left by an instance that was killed")
        preflight.check(settings)
        logs.configure(settings.logs_dir, component="platform", level=settings.log_level)
        details.append(f"home {settings.home}")


def _start(plan: Plan, supervisor: Supervisor, report: Report, *, reset_schedules: bool) -> None:
    """Start what waits for nobody first: on two cores, what imports most decides."""
    if plan.own_server:
        supervisor.start(plan.server())
    with step(report, "database") as details:
        details.append(supervisor.finish(plan.chore("prepare"), seconds=READY_SECONDS).strip())
    if (chroma := plan.chroma()) is not None:
        supervisor.start(chroma)
    supervisor.start(plan.api())
    with step(report, SERVER):
        if plan.own_server:
            supervisor.wait([SERVER], seconds=READY_SECONDS)
        elif not plan.server_answers():
            raise Unavailable(
                "the Prefect server of DRYAD_PREFECT_API_URL does not answer or refuses our login",
                "Start it, or unset DRYAD_PREFECT_API_URL to get one of your own.",
            )
    with step(report, "deployments") as details:
        registered = plan.registration(reset_schedules=reset_schedules)
        lines = supervisor.finish(registered, seconds=READY_SECONDS).splitlines()
        details.append(f"{len(lines)} registered")
    if supervisor.stopping:
        return
    supervisor.start(plan.worker())
    supervisor.start(plan.keeper())
    for name in (API, KEEPER, WORKER, *([CHROMA] if chroma else [])):
        with step(report, name):
            supervisor.wait([name], seconds=READY_SECONDS)


def _demonstrate(plan: Plan, supervisor: Supervisor, report: Report) -> None:
    with step(report, "demo") as details:
        details.extend(supervisor.finish(plan.chore("demo"), seconds=300).splitlines())


def down(settings: Settings, *, report: Report = silent) -> bool:
    """Stop this installation in order: worker, API, keeper, server.

    Returns:
        False when nothing was running.

    Raises:
        Unavailable: it would not stop and could not be killed.
    """
    instance = Instance(settings.home)
    pid = instance.pid()
    if pid is None:
        return False
    grace = settings.stop_grace.total_seconds() + _OTHERS_STOP_SECONDS
    with step(report, f"stopping pid {pid}"):
        try:
            os.kill(pid, signal.SIGTERM)
            if not wait_gone(instance, seconds=grace):
                kill_tree(pid)
        except (ProcessLookupError, PermissionError) as error:
            if instance.pid() is not None:
                raise Unavailable(f"pid {pid} cannot be stopped: {error.strerror}") from error
    if not wait_gone(instance, seconds=5):
        raise Unavailable(f"pid {pid} does not stop", f"Look at it with `ps -fp {pid}`.")
    return True


def status(settings: Settings) -> list[ProcessStatus]:
    """Return the processes of this installation, the supervisor first; empty: it does not run."""
    instance, now = Instance(settings.home), time.time()
    pid = instance.pid()
    if pid is None:
        return []
    since = born(pid) or now
    return [
        ProcessStatus("dryad up", pid, "ready", now - since, 0, None),
        *(
            ProcessStatus(
                name=entry.name,
                pid=entry.pid,
                state=entry.state if entry.alive or entry.state == "waiting" else "dead",
                age_seconds=now - entry.since,
                restarts=entry.restarts,
                port=entry.port,
            )
            for entry in instance.entries()
        ),
    ]


def env(settings: Settings) -> dict[str, str]:
    """Return what points a person's own `prefect` and `dryad` commands at this installation.

    Raises:
        NotFound: it was never started.
    """
    try:
        secrets = Secrets.read(settings.secrets_path)
    except NotFound as error:
        raise NotFound(
            f"there is no installation at {settings.home}", "Start one with `dryad up`."
        ) from error
    return {"DRYAD_HOME": str(settings.home)} | environment.prefect_client(settings, secrets)


def access(settings: Settings) -> Access:
    """Return where the running installation is found, and its login; raises as `env` does."""
    login = env(settings)["PREFECT_API_AUTH_STRING"]
    ui = settings.prefect_url.removesuffix("/api")
    return Access(ui_url=ui, api_url=settings.dryad_url, login=login)
