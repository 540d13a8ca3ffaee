"""A backup never restored does not count: the newest set becomes a scratch installation."""

from typing import Any

from prefect import flow, suspend_flow_run
from prefect.client.schemas.objects import State
from prefect.input import RunInput
from prefect.states import Completed, Failed
from pydantic import BaseModel, Field

from dryad.foundation.errors import Conflict, InvalidRequest, NotFound, Refused
from dryad.operations.backups.manifest import hours_of
from dryad.operations.drills import CHECKLIST
from tasks._journal import carried, keep_contract
from tasks.drills import publish_checklist, publish_drill, run_drill

CONTRACT = 1
"""Raised whenever the order, the keys or the stored types of the steps below change."""


class DrillForm(BaseModel):
    """What an operator may choose."""

    set: str = Field("newest", title="Set", description="Its name, the beginning of it, or newest.")
    ask: bool = Field(
        True, title="Ask", description="Then ask a person for what no machine can check."
    )


class Answers(RunInput):
    """What only a person knows, line by line of the runbook's list."""

    scope: str = Field(
        title=CHECKLIST[0], description="What would have failed, and how you see it."
    )
    stakeholders: str = Field(title=CHECKLIST[1], description="Who would be told, and by whom.")
    team: str = Field(title=CHECKLIST[2], description="Who would work on it; are they reachable?")
    lessons: str = Field(title=CHECKLIST[7], description="What this drill taught.")


@flow(name="recovery-drill", flow_run_name="drill-{request.set}")
async def recovery_drill(request: DrillForm) -> State[Any]:
    """Restore, start and validate the newest set beside the live installation, and measure."""
    async with carried():
        if not await keep_contract(CONTRACT):
            return Completed(name="Superseded", message="This flow changed. Start it again.")
        try:
            drill = await run_drill(request.set)
        except (InvalidRequest, NotFound, Refused, Conflict) as error:
            return Completed(name="Refused", message=f"{error.message}. {error.next_step}")
        await publish_drill(drill)
        answers: dict[str, str] = {}
        if request.ask:
            said = await suspend_flow_run(wait_for_input=Answers, key="checklist", timeout=None)  # pyright: ignore[reportGeneralTypeIssues] - typed as if it were sync
            given = (said.scope, said.stakeholders, said.team, said.lessons)
            lines = (CHECKLIST[0], CHECKLIST[1], CHECKLIST[2], CHECKLIST[7])
            answers = dict(zip(lines, given, strict=True))
        await publish_checklist(drill, answers)
        if drill.missed:
            return Failed(message="; ".join(drill.missed))
        return Completed(
            message=f"set {drill.set_id}: RTO {hours_of(drill.rto)}, RPO {hours_of(drill.rpo)}"
        )
