"""Register the deployments of `prefect.yaml`: `python -P -m deployments.apply`.

A deployment is registered by content: its version is a digest of everything registered and of the
code it runs, and one whose digest stands on the server is left alone; workers hear of the others.
What an operator paused stays paused, also when the content changed; `--reset-schedules` returns to
what the file says. `prefect deploy --all` registers the same set, but wakes what was paused.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import (
    MissingFlowError,
    ObjectAlreadyExists,
    ObjectNotFound,
    PrefectHTTPStatusError,
)
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from blocks import model_keys
from deployments import automations
from deployments.worker import DryadWorker
from dryad.foundation.canonical import digest
from dryad.foundation.environment import load
from dryad.foundation.errors import Conflict, DryadError, InvalidRequest
from dryad.foundation.settings import Settings
from dryad.runs.client import POOL

Outcome = Literal["registered", "unchanged"]

_KNOWN = frozenset({
    "name", "entrypoint", "work_pool", "schedules", "parameters", "tags", "description",
    "concurrency_limit",
})  # fmt: skip
_PACKAGES = ("blocks", "deployments", "dryad", "flows", "tasks")
_TRIES = 5


@dataclass(frozen=True)
class Schedule:
    """When a deployment runs by itself; `slug` names the schedule over its changes."""

    slug: str
    cron: str
    timezone: str
    active: bool = True


@dataclass(frozen=True)
class Spec:
    """Everything that is registered of one deployment."""

    name: str
    flow: str
    entrypoint: str
    description: str
    schema: Mapping[str, Any]
    parameters: Mapping[str, Any]
    tags: tuple[str, ...]
    pool: str
    limit: int | None
    schedules: tuple[Schedule, ...]
    code: str
    """Digest of all our code: a worker that hears of another version begins anew with it."""

    @property
    def full_name(self) -> str:
        """`flow/deployment`."""
        return f"{self.flow}/{self.name}"

    @property
    def version(self) -> str:
        """Digest of the content, 16 hex digits; shown as the deployment's version."""
        return digest({**vars(self), "schedules": [vars(item) for item in self.schedules]})[:16]


def default_file() -> Path:
    """Return the project's `prefect.yaml`: in the clone, or as shipped in the wheel."""
    here = Path(__file__).resolve().parent
    shipped = here / "prefect.yaml"
    return shipped if shipped.exists() else here.parent / "prefect.yaml"


def read(file: Path) -> list[Spec]:
    """Read the deployments of a `prefect.yaml`, importing their flows.

    Raises:
        InvalidRequest: an entry is incomplete, has an unknown key, or names no flow.
    """
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    if content.get("pull") != []:
        raise InvalidRequest(f"{file} must say `pull: []`: the code is installed, never pulled")
    code = code_digest()
    return [_spec(entry, code) for entry in content["deployments"]]


def code_digest(packages: Iterable[str] = _PACKAGES) -> str:
    """Return a digest of the code that runs are made of."""
    found = hashlib.sha256()
    for package in packages:
        spec = find_spec(package)
        assert spec is not None
        for root in sorted(spec.submodule_search_locations or ()):
            for file in sorted(Path(root).rglob("*.py")):
                found.update(f"{package}/{file.relative_to(root)}\0".encode())
                found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def _spec(entry: dict[str, Any], code: str) -> Spec:
    name = f"the deployment {entry.get('name', '?')!r} of {entry.get('entrypoint', '?')}"
    if unknown := set(entry) - _KNOWN:
        raise InvalidRequest(f"{name} has unknown keys: {', '.join(sorted(unknown))}")
    entrypoint = entry["entrypoint"]
    if ":" in entrypoint:
        raise InvalidRequest(f"{name} needs a module path: a file path imports its module twice")
    try:
        flow = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    except (MissingFlowError, ModuleNotFoundError) as error:
        raise InvalidRequest(f"{name} cannot be loaded: {error}") from error
    return Spec(
        name=entry["name"],
        flow=flow.name,
        entrypoint=entrypoint,
        description=entry.get("description") or flow.description or "",
        schema=parameter_schema(flow).model_dump(mode="json", exclude_unset=True),
        parameters=entry.get("parameters") or {},
        tags=tuple(entry.get("tags") or ()),
        pool=entry["work_pool"]["name"],
        limit=entry.get("concurrency_limit"),
        schedules=tuple(_schedule(item, name) for item in entry.get("schedules") or ()),
        code=code,
    )


def _schedule(item: dict[str, Any], owner: str) -> Schedule:
    try:
        return Schedule(**item)
    except TypeError as error:
        raise InvalidRequest(
            f"a schedule of {owner} must say slug, cron and timezone, and nothing but `active`"
        ) from error


def ensure_pool(client: SyncPrefectClient, name: str) -> None:
    """Create the work pool when it is absent; one of another type and name serves as well.

    Raises:
        Conflict: it is the one that `dryad up` works for, and of a type that its worker is not;
            Prefect cannot change the type.
    """
    template = DryadWorker.get_default_base_job_template()
    wanted = WorkPoolCreate(name=name, type=DryadWorker.type, base_job_template=template)
    try:
        client.create_work_pool(wanted)
    except ObjectAlreadyExists:
        pool = client.read_work_pool(name)
        if name == POOL and pool.type != DryadWorker.type:
            raise Conflict(
                f"the work pool {name!r} is of type {pool.type!r}, not {DryadWorker.type!r}",
                f"Finish its runs, then `prefect work-pool delete {name}` and `dryad up` again.",
            ) from None


def register(client: SyncPrefectClient, spec: Spec, *, reset_schedules: bool = False) -> Outcome:
    """Bring one deployment up to date, keeping what an operator paused unless told otherwise."""
    try:
        existing = client.read_deployment_by_name(spec.full_name)
    except ObjectNotFound:
        existing = None
    paused, schedules = False, spec.schedules
    if existing is not None and not reset_schedules:
        paused = existing.paused
        schedules = tuple(_as_left(schedule, existing) for schedule in spec.schedules)
    if existing is not None and _stands(existing, spec, paused, schedules):
        return "unchanged"
    _create(client, spec, paused, schedules)
    return "registered"


def _as_left(schedule: Schedule, existing: DeploymentResponse) -> Schedule:
    for found in existing.schedules:
        if found.slug == schedule.slug:
            return replace(schedule, active=found.active)
    return schedule


def _stands(
    existing: DeploymentResponse, spec: Spec, paused: bool, schedules: tuple[Schedule, ...]
) -> bool:
    active = {item.slug: item.active for item in existing.schedules}
    return (
        existing.version == spec.version
        and existing.paused == paused
        and active == {item.slug: item.active for item in schedules}
    )


def _create(
    client: SyncPrefectClient, spec: Spec, paused: bool, schedules: tuple[Schedule, ...]
) -> UUID:
    return client.create_deployment(
        client.create_flow_from_name(spec.flow),
        spec.name,
        version=spec.version,
        schedules=[
            DeploymentScheduleCreate(
                slug=item.slug,
                schedule=CronSchedule(cron=item.cron, timezone=item.timezone),
                active=item.active,
            )
            for item in schedules
        ],
        concurrency_limit=spec.limit,
        parameters=dict(spec.parameters),
        description=spec.description,
        work_pool_name=spec.pool,
        tags=list(spec.tags),
        entrypoint=spec.entrypoint,
        parameter_openapi_schema=dict(spec.schema),
        enforce_parameter_schema=True,
        paused=paused,
        pull_steps=[],
    )


def apply(
    file: Path, settings: Settings, *, reset_schedules: bool = False
) -> Iterator[tuple[str, Outcome]]:
    """Register every deployment of `file`; yield the full name of each with what was done.

    The blocks that runs look at are made first, where they are not there; last comes who is told
    that a run waits.
    Safe to run twice at once: a conflict with another run is looked at again.
    """
    specs = read(file)
    with get_client(sync_client=True) as client:
        for pool in dict.fromkeys(spec.pool for spec in specs):
            ensure_pool(client, pool)
        model_keys.ensure(client)
        for spec in specs:
            yield spec.full_name, _patiently(client, spec, reset_schedules)
        ui_url = settings.prefect_url.removesuffix("/api")
        automations.keep(client, settings.review_webhook, ui_url=ui_url)


def _patiently(client: SyncPrefectClient, spec: Spec, reset_schedules: bool) -> Outcome:
    for _ in range(_TRIES - 1):
        try:
            return register(client, spec, reset_schedules=reset_schedules)
        except PrefectHTTPStatusError as error:
            if error.response.status_code not in {409, 500, 503}:
                raise
            time.sleep(0.2)
    return register(client, spec, reset_schedules=reset_schedules)


def main(arguments: list[str] | None = None) -> int:
    """Register from the command line; one line per deployment on standard output."""
    parser = argparse.ArgumentParser(prog="python -P -m deployments.apply", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=default_file())
    parser.add_argument("--reset-schedules", action="store_true", help="wake what was paused")
    options = parser.parse_args(arguments)
    try:
        settings = load()[0]
        for name, outcome in apply(options.file, settings, reset_schedules=options.reset_schedules):
            sys.stdout.write(f"{outcome} {name}\n")
    except DryadError as error:
        sys.stderr.write(f"{error}\n{error.next_step}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
