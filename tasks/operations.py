"""Operations as Prefect tasks: backup sets."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from dryad.operations.backups.making import Made, Purpose
from dryad.operations.backups.manifest import Part, PartName, SetId, Verification, age_in_words
from dryad.operations.backups.sources import is_sqlite
from tasks._policy import PLAIN
from tasks._services import services

# Nothing here is tried again: a set that failed is taken away, and the next run makes another.


@task(task_run_name="begin-set", **PLAIN)
async def begin_set(purpose: Purpose) -> SetId:
    """Begin a set in every target; see `Making`."""
    return await asyncio.to_thread(services().backups.begin, purpose)


def set_parts() -> list[PartName]:
    """Return the parts a set of this installation has."""
    return services().backups.part_names()


@task(task_run_name="keep-{name}", **PLAIN)
async def keep_part(making: SetId, name: PartName) -> Part:
    """Write one part into every target; see `Making.write`."""
    return await asyncio.to_thread(services().backups.write, making, name)


@task(task_run_name="publish-set", **PLAIN)
async def publish_set(making: SetId, parts: Sequence[Part]) -> Made:
    """Make a set visible, whole; see `Making.publish`."""
    return await asyncio.to_thread(services().backups.publish, making, parts)


async def abandon_set(making: SetId) -> None:
    """Take away a set that was begun and not published."""
    await asyncio.to_thread(services().backups.abandon, making)


@task(task_run_name="prune-sets", **PLAIN)
async def prune_sets() -> list[SetId]:
    """Show which sets the retention lets go, then remove them."""
    outdated = await asyncio.to_thread(services().backups.outdated)
    rows = [
        {
            "set": one.id,
            "kind": one.manifest.kind,
            "state": one.state,
            "targets": ", ".join(target.name for target in one.targets),
        }
        for one in outdated
        if one.manifest is not None
    ]
    if rows:
        await acreate_table_artifact(
            rows, key="backup-sets-pruned", description="Sets the retention lets go"
        )
    return await asyncio.to_thread(services().backups.remove, [one.id for one in outdated])


@task(task_run_name="prune-moments", **PLAIN)
async def prune_moments() -> int:
    """Remove the base backups and the WAL that no moment of the window needs; show them."""
    moments = services().moments
    if is_sqlite(moments.bases.stores.database):
        return 0
    gone = await asyncio.to_thread(moments.prune)
    window = age_in_words(moments.window)
    rows = [
        {
            "base": one.manifest.id,
            "of": f"{one.manifest.finished:%Y-%m-%d %H:%M} UTC",
            "sealed": _megabytes(one.manifest.stored_bytes),
            "now": "kept" if one in gone.staying else f"removed: no moment of {window} needs it",
        }
        for one in (*gone.staying, *reversed(gone.bases))
    ]
    if names := gone.segments.names:
        rows.append(
            {
                "base": f"{len(names)} WAL files",
                "of": f"{names[0]} to {names[-1]}",
                "sealed": _megabytes(gone.segments.bytes),
                "now": "removed: no base that is kept needs them",
            }
        )
    if rows:
        await acreate_table_artifact(
            rows, key="base-backups", description=f"The way back to any moment of {window}"
        )
    return len(gone.bases)


@task(task_run_name="verify-{wanted}", **PLAIN)
async def verify_set(wanted: str) -> Verification:
    """Restore a set into a scratch place and compare; `newest` is one; see `Backups.verify`."""
    backups = services().backups
    found = await asyncio.to_thread(backups.find, wanted)
    return await asyncio.to_thread(backups.verify, found)


async def begin_bar(what: str) -> UUID:
    """Show a progress bar."""
    return await acreate_progress_artifact(0, description=what)


async def move_bar(bar: UUID, done: int, of: int) -> None:
    """Move a progress bar."""
    await aupdate_progress_artifact(bar, 100 * done / of)


@task(task_run_name="show-parts", **PLAIN)
async def publish_parts(made: Made) -> None:
    """Show what a set holds, and which targets do not have it."""
    rows = [
        {
            "part": part.name,
            "rows or files": f"{sum(part.counts.values()):,}",
            "open": _megabytes(part.plain_bytes),
            "sealed": _megabytes(part.stored_bytes),
        }
        for part in made.manifest.parts
    ]
    rows += [
        {"part": f"no copy in {name}", "rows or files": why} for name, why in made.failed.items()
    ]
    await acreate_table_artifact(rows, description=f"Set {made.manifest.id}")


@task(task_run_name="show-sets", **PLAIN)
async def publish_sets() -> None:
    """Show every set there is, newest first."""
    dryad = services()
    now = dryad.clock()
    rows = [
        {
            "set": one.id,
            "state": one.state,
            "age": age_in_words(now - one.manifest.started) if one.manifest else "?",
            "kind": one.manifest.kind if one.manifest else "?",
            "critical": one.manifest.reason if one.manifest and one.manifest.critical else "",
            "sealed": _megabytes(one.manifest.stored_bytes) if one.manifest else "?",
            "targets": ", ".join(target.name for target in one.targets),
            "what is wrong": one.why,
        }
        for one in await asyncio.to_thread(dryad.backups.listed)
    ]
    await acreate_table_artifact(rows, key="backup-sets", description="Backup sets")


@task(task_run_name="show-verification", **PLAIN)
async def publish_verification(found: Verification) -> None:
    """Show what a look at a whole set found."""
    rows = [{"set": found.set, "problem": problem} for problem in found.problems]
    took = timedelta(seconds=round(found.seconds))
    await acreate_table_artifact(
        rows or [{"set": found.set, "problem": "none: it restores, and all is as it was kept"}],
        description=f"Set {found.set}, looked at in {took}",
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
