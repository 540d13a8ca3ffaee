"""A restore, asked for and answered in the Prefect UI; the supervisor does what no run can."""

import itertools
from typing import Any, Literal

from prefect import flow, suspend_flow_run
from prefect.client.schemas.objects import State
from prefect.input import RunInput
from prefect.states import Completed, Failed
from pydantic import BaseModel, Field, create_model

from dryad.foundation.errors import Conflict, Corrupt, InvalidRequest, NotFound, Refused
from dryad.operations.backups.manifest import moment_of
from dryad.operations.restores.loss import Loss
from tasks._journal import carried, keep_contract
from tasks.restores import (
    Asked,
    Heard,
    ask_consent,
    hand_over,
    hear_consent,
    keep_safety_copy,
    make_ready,
    publish_loss,
    publish_restore,
    weigh,
)

CONTRACT = 2
"""Raised whenever the order, the keys or the stored types of the steps below change."""


_PROVE = (
    "\n\nReviewers are enrolled, so one of them has to say it: fill in your id as it was enrolled, "
    "and the code that `dryad backup consent {set} --run {run} --as ID` shows you. It is good for "
    "this run and this set only."
)


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
    code: str = Field("", title="Code", description="Only once reviewers are enrolled.")


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
    heard = await _consent(lost)
    if heard is None:
        return Completed(name="Rejected", message=f"{lost.set_id} is not restored")
    copy = await keep_safety_copy(lost)
    prepared = await make_ready(lost.set_id)
    await hand_over(prepared, lost, heard.by)
    kept = f"safety copy {copy}; " if copy else ""
    return Completed(message=f"{kept}the supervisor switches now and reports by a run of its own")


async def _consent(lost: Loss) -> Heard | None:
    """Ask until it is known who consents, or somebody says no."""
    asked, refusal = await ask_consent(), ""
    for turn in itertools.count(1):
        form = _form(lost, asked, refusal)
        said = await suspend_flow_run(wait_for_input=form, key=f"consent-{turn}", timeout=None)  # pyright: ignore[reportGeneralTypeIssues] - typed as if it were sync
        if not said.decision.startswith("replace"):
            return None
        heard = await hear_consent(lost.set_id, said.approver, said.code)
        if heard.by:
            return heard
        refusal = heard.refusal
    return None


def _form(lost: Loss, asked: Asked, refusal: str) -> type[Consent]:
    options = (f"replace everything by {lost.set_id}", "leave everything as it is")
    decision: Any = (Literal[options], Field(title="Decision"))
    model = create_model("Consent", __base__=Consent, decision=decision)
    return model.with_initial_data(
        description=(
            f"**Everything of this installation is replaced by set {lost.set_id}.** What was done "
            f"since {moment_of(lost.set_id)} is lost; the table `restore-replaces` of this run "
            "says how much that was when it asked. A safety copy is kept first, all processes are "
            "stopped for the switch, and what is restored stands still until a person lifts the "
            "stop."
            + (_PROVE.format(set=lost.set_id, run=asked.run) if asked.needs_code else "")
            + (f"\n\n**The last answer did not count:** {refusal}" if refusal else "")
        )
    )


async def _report(restore_id: str) -> State[Any]:
    in_force = await publish_restore(restore_id)
    if in_force == "restored":
        return Completed(message=f"restore {restore_id}: the restored state is in force")
    return Failed(message=f"restore {restore_id} went back: everything is as before")
