"""A restore, asked for and answered in the Prefect UI; the supervisor does what no run can."""

from typing import Any, Literal

from prefect import flow, suspend_flow_run
from prefect.client.schemas.objects import State
from prefect.input import RunInput
from prefect.states import Completed, Failed
from pydantic import BaseModel, Field, create_model

from dryad.foundation.errors import Conflict, Corrupt, InvalidRequest, NotFound, Refused
from dryad.operations.restores.loss import Loss
from tasks._journal import carried, keep_contract
from tasks.restores import (
    hand_over,
    keep_safety_copy,
    make_ready,
    publish_loss,
    publish_restore,
    weigh,
)

CONTRACT = 1
"""Raised whenever the order, the keys or the stored types of the steps below change."""


class RestoreForm(BaseModel):
    """What an operator fills in."""

    set: str = Field("newest", title="Set", description="Its name, the beginning of it, or newest.")
    report: str = Field("", title="Report", description="Left empty: the supervisor fills it in.")

    @property
    def subject(self) -> str:
        """What the run is called by."""
        return f"report-{self.report}" if self.report else self.set


class Consent(RunInput):
    """The form a person answers before anything is replaced."""

    decision: str = Field(title="Decision")
    approver: str = Field("", title="Your name", description="For the record; not verified here.")


@flow(name="restore-backup", flow_run_name="restore-{request.subject}")
async def restore_backup(request: RestoreForm) -> State[Any]:
    """Replace everything by a set, after a person said so; killed anywhere, one state is whole."""
    async with carried():
        if not await keep_contract(CONTRACT):
            return Completed(name="Superseded", message="This flow changed. Start it again.")
        try:
            if request.report:
                return await _report(request.report)
            return await _restore(request.set)
        except (InvalidRequest, NotFound, Refused, Conflict, Corrupt) as error:
            return Completed(name="Refused", message=f"{error.message}. {error.next_step}")


async def _restore(wanted: str) -> State[Any]:
    lost = await weigh(wanted)
    await publish_loss(lost)
    consent = await suspend_flow_run(wait_for_input=_form(lost), key="consent", timeout=None)  # pyright: ignore[reportGeneralTypeIssues] - typed as if it were sync
    if not consent.decision.startswith("replace"):
        return Completed(name="Rejected", message=f"{lost.set_id} is not restored")
    copy = await keep_safety_copy(lost)
    prepared = await make_ready(lost.set_id)
    await hand_over(prepared, lost, consent.approver)
    kept = f"safety copy {copy}; " if copy else ""
    return Completed(message=f"{kept}the supervisor switches now and reports by a run of its own")


def _form(lost: Loss) -> type[Consent]:
    options = (f"replace everything by {lost.set_id}", "leave everything as it is")
    decision: Any = (Literal[options], Field(title="Decision"))
    model = create_model("Consent", __base__=Consent, decision=decision)
    return model.with_initial_data(
        description=(
            f"**Everything of this installation is replaced by set {lost.set_id}.** Work of the "
            f"last {lost.age} is lost; the table `restore-replaces` of this run says how much. A "
            "safety copy is kept first, all processes are stopped for the switch, and what is "
            "restored stands still until a person lifts the stop."
        )
    )


async def _report(restore_id: str) -> State[Any]:
    in_force = await publish_restore(restore_id)
    if in_force == "restored":
        return Completed(message=f"restore {restore_id}: the restored state is in force")
    return Failed(message=f"restore {restore_id} went back: everything is as before")
