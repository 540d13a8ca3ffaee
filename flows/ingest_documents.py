"""Directories, files and pages into long-term memory, batch by batch."""

from typing import Any, Literal

from prefect import State, flow
from prefect.states import Completed
from pydantic import BaseModel, Field

from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from dryad.foundation.ids import TenantId
from dryad.memory.sources import Source, batches
from tasks._journal import carried, keep_contract
from tasks.memory import (
    begin_progress,
    ingest_files,
    publish_ingestion,
    show_progress,
    survey_files,
)

CONTRACT = 2
"""Raised whenever the order, the keys or the stored types of the steps below change."""


class IngestRequest(BaseModel):
    """What an operator fills in."""

    path: str = Field(
        title="Paths and addresses",
        description=(
            "One a line. Directories and files, from the root, where the worker runs, below "
            "DRYAD_INGEST_PATHS or in `inbox/` in the home; addresses of hosts in "
            "DRYAD_INGEST_HOSTS."
        ),
        json_schema_extra={"format": "multiline"},
    )
    tenant: str = Field("default", title="Tenant", description="Whose memory it goes into.")
    category: str = Field("documents", title="Category", description="Searches can ask for it.")
    provenance: Literal["untrusted", "trusted"] = Field(
        "untrusted",
        title="Provenance",
        description="Trusted: you answer for every word. Untrusted text is only ever data.",
    )
    name: str = Field("", title="Name", description="Cited instead of the directory; may be empty.")


@flow(name="ingest-documents", flow_run_name="ingest-{request.tenant}")
async def ingest_documents(request: IngestRequest) -> State[Any]:
    """Read files into long-term memory; killed and run again, it goes on where it was."""
    async with carried():
        if not await keep_contract(CONTRACT):
            return Completed(name="Superseded", message="This flow changed. Start it again.")
        source = Source(request.path, request.category, request.provenance, request.name)
        try:
            return await _ingest(TenantId(request.tenant), source)
        except (InvalidRequest, NotFound, Refused) as error:
            return Completed(name="Refused", message=f"{error.message}. {error.next_step}")


async def _ingest(tenant: TenantId, source: Source) -> State[Any]:
    found = await survey_files(tenant, source)
    bar = await begin_progress()
    answers = [*found.skipped]
    for number, batch in enumerate(batches(found.candidates), start=1):
        answers += await ingest_files(number, tenant, source, batch)
        await show_progress(bar, len(answers) - len(found.skipped), len(found.candidates))
    await publish_ingestion(source, answers)
    skipped = sum(answer.outcome == "skipped" for answer in answers)
    return Completed(message=f"{len(answers) - skipped:,} files are in memory, {skipped:,} skipped")
