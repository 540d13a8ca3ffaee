"""What finished long ago goes: runs, their logs and artifacts, and their journal."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import BaseModel, Field

from tasks.foundation import publish_budgets
from tasks.runs import find_finished, forget

_BATCH = 200


class PruneForm(BaseModel):
    """What an operator may choose."""

    keep_days: int = Field(
        0, title="Keep days", description="0: as long as DRYAD_HISTORY_RETENTION says.", ge=0
    )


@flow(name="prune-history", flow_run_name="prune")
async def prune_history(request: PruneForm) -> State[Any]:
    """Forget the runs that ended before the retention, and chart what was used.

    Tasks, audit and memory stay.
    """
    finished = await find_finished(request.keep_days)
    gone = 0
    for number, start in enumerate(range(0, len(finished), _BATCH), start=1):
        gone += await forget(number, finished[start : start + _BATCH])
    await publish_budgets()
    return Completed(message=f"{gone} runs forgotten, {len(finished) - gone} kept for their tasks")
