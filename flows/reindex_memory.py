"""Every passage gets a vector of the model in force, while search goes on."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import BaseModel, Field

from dryad.foundation.errors import NotFound
from tasks.memory import (
    begin_reindexing,
    count_pending,
    embedder_name,
    memory_tenants,
    reindex_batch,
    show_progress,
)


class ReindexForm(BaseModel):
    """What an operator may choose."""

    tenant: str = Field("", title="Tenant", description="Whose memory; empty: everybody's.")


@flow(name="reindex-memory", flow_run_name="reindex")
async def reindex_memory(request: ReindexForm) -> State[Any]:
    """Make the vectors that are missing or of another model; run again, it goes on where it was.

    Until a passage has its vector, it is found by its words.
    """
    model = embedder_name()
    if not model:
        return Completed(
            name="Refused", message="There is no model: search is by word. Set DRYAD_EMBEDDER."
        )
    try:
        tenants = memory_tenants(request.tenant)
    except NotFound as error:
        return Completed(name="Refused", message=f"{error.message}. {error.next_step}")
    total = count_pending(tenants)
    bar = await begin_reindexing()
    done = 0
    for tenant in tenants:
        while made := await reindex_batch(tenant):
            done += made
            await show_progress(bar, min(done, total), total)
    await show_progress(bar, 1, 1)
    return Completed(message=f"{done:,} passages have vectors of {model}")
