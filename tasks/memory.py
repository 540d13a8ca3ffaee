"""Level 2 as steps of a run: what is known already, and what is worth knowing next time."""

import asyncio
from datetime import timedelta
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from dryad.execution.coordinator import Asker
from dryad.execution.memories import Provenance
from dryad.foundation.ids import TenantId
from dryad.memory import consolidation, ingest
from dryad.memory.consolidation import Consolidated
from dryad.memory.sources import Candidate, Ingested, Source, Survey, survey
from dryad.orchestration.findings import Finding, synthesise
from dryad.orchestration.known import Known
from dryad.orchestration.tasks import Task
from tasks._journal import step
from tasks._policy import HEALING
from tasks._services import services

REINDEXED = 256
"""Passages a task gives their vectors: some 20 seconds of work."""

DIARY = "diary"
"""Owner of the notes about finished tasks."""

RECALLED = 3
"""Notes and passages brought back at most, each."""


@step("recall")
def recall(task: Task) -> Known:
    """Return what short- and long-term memory hold about the task."""
    dryad = services()
    notes = dryad.archivist.newest(task.tenant, DIARY, limit=RECALLED)
    # Nobody's own notes: whoever works on the task may not read them.
    passages = dryad.coordinator.find(task.tenant, DIARY, task.text[:2_000], RECALLED)
    told: list[tuple[Provenance, str]] = [
        (note.provenance, f"Recent task: {note.value}") for note in notes
    ]
    found: list[tuple[Provenance, str]] = [
        (hit.provenance, f"{hit.title}, {hit.section}: {hit.text[:300]}") for hit in passages
    ]
    return Known.of(told + found)


@step("remember")
def remember(task: Task, findings: list[Finding]) -> None:
    """Note what was asked and answered, for the next tasks of the tenant."""
    answer = synthesise(findings)["answer"]
    untrusted = any(finding.done.untrusted for finding in findings)
    services().scribe.note(
        Asker(task.tenant, DIARY),
        f"Asked: {task.text[:300]}\nAnswered: {answer[:600]}",
        origin=f"task:{task.id}",
        provenance="untrusted" if untrusted else "trusted",
        kind="short_term",
    )


@step("survey")
def survey_files(tenant: TenantId, source: Source) -> Survey:
    """List what could be read for a tenant that exists; see `sources.survey`."""
    services().tenants.get(tenant)
    return survey(source, services().ingestion.allowed)


@step("ingest", shown_as="ingest-batch-{batch}")
async def ingest_files(
    batch: int,  # noqa: ARG001 - shown in the name
    tenant: TenantId,
    source: Source,
    candidates: list[Candidate],
) -> list[Ingested]:
    """Read one batch of files and shelve them; see `Ingestion.ingest`."""
    return await services().ingestion.ingest(tenant, source, candidates)


@step("progress")
async def begin_progress() -> UUID:
    """Show a bar that `show_progress` moves."""
    return await acreate_progress_artifact(0, description="Files read")


async def show_progress(bar: UUID, done: int, of: int) -> None:
    """Move the bar; what is shown twice does no harm, so no step records it."""
    await aupdate_progress_artifact(bar, 100 * done / of if of else 100)


@step("report")
async def publish_ingestion(source: Source, answers: list[Ingested]) -> None:
    """Publish what went in, and what was skipped and why, as artifacts of the run."""
    await acreate_markdown_artifact(ingest.report(source, answers), description="Report")
    await acreate_table_artifact(ingest.table(answers), description="Files")


@task(task_run_name="consolidate-{tenant}", **HEALING)
async def consolidate(tenant: TenantId, hours: float) -> list[Consolidated]:
    """Keep what is worth it of a tenant's expiring memory; done again, it changes nothing."""
    within = timedelta(hours=hours)
    return await asyncio.to_thread(services().consolidation.consolidate, tenant, within=within)


@task(task_run_name="reindex-{tenant}", **HEALING)
async def reindex_batch(tenant: TenantId) -> int:
    """Give one batch of a tenant's passages their vectors; return how many had none before."""
    return await asyncio.to_thread(services().librarian.embed_pending, tenant, limit=REINDEXED)


async def begin_reindexing() -> UUID:
    """Show a bar that `show_progress` moves."""
    return await acreate_progress_artifact(0, description="Passages with vectors")


def memory_tenants(named: str) -> list[TenantId]:
    """Return the tenant that is named, or all."""
    tenants = services().tenants
    return [tenants.get(TenantId(named)).id] if named else [one.id for one in tenants.list()]


def count_pending(tenants: list[TenantId]) -> int:
    """Return how many passages of these tenants have no vector of the model in force."""
    return sum(services().librarian.count_pending(tenant) for tenant in tenants)


def embedder_name() -> str:
    """Return the model in force, or ''."""
    embedder = services().embedder
    return embedder.name if embedder else ""


async def publish_consolidation(answers: list[tuple[TenantId, Consolidated]]) -> None:
    """Publish what was kept and what was left, and why, as an artifact of the run."""
    await acreate_table_artifact(consolidation.table(answers), description="Values")
