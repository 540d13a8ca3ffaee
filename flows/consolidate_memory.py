"""What is about to be forgotten and worth keeping goes to long-term memory, with reasons."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import BaseModel, Field

from dryad.foundation.errors import NotFound
from tasks.memory import consolidate, memory_tenants, publish_consolidation


class ConsolidationForm(BaseModel):
    """What an operator may choose."""

    tenant: str = Field("", title="Tenant", description="Whose memory; empty: everybody's.")
    hours: float = Field(
        2, title="Hours", description="What expires within so many hours is judged.", gt=0, le=168
    )


@flow(name="consolidate-memory", flow_run_name="consolidate")
async def consolidate_memory(request: ConsolidationForm) -> State[Any]:
    """Keep what is worth it before it expires; killed and run again, it keeps nothing twice."""
    try:
        tenants = memory_tenants(request.tenant)
    except NotFound as error:
        return Completed(name="Refused", message=f"{error.message}. {error.next_step}")
    answers = [
        (tenant, answer)
        for tenant in tenants
        for answer in await consolidate(tenant, request.hours)
    ]
    await publish_consolidation(answers)
    kept = sum(answer.outcome == "kept" for _, answer in answers)
    return Completed(message=f"{kept:,} of {len(answers):,} expiring values are kept")
