"""Restores as steps of a run: looked at, answered for, made ready, handed to the supervisor."""

from dataclasses import dataclass

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from dryad.foundation.errors import Refused
from dryad.foundation.tenants import DEFAULT
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.manifest import moment_of
from dryad.operations.restores.loss import Loss, loss
from dryad.operations.restores.marks import Held
from dryad.operations.restores.request import request
from dryad.operations.restores.restore import Restore
from dryad.orchestration.review.reviewers import Claim
from tasks._journal import carried_run, step
from tasks._policy import PLAIN
from tasks._services import services


@dataclass(frozen=True)
class Prepared:
    """A restore that is ready to be switched in."""

    id: str
    held: Held


@step("weigh")
def weigh(wanted: str) -> Loss:
    """Say what a restore of a set would replace, and how much newer work it would lose."""
    backups = services().backups
    found = backups.find(wanted)
    if found.manifest is None or found.state in {"bad", "foreign"}:
        raise Refused(f"set {found.id} cannot be restored: {found.why}", "Use another set.")
    return loss(backups, found.manifest)


@step("show-loss")
async def publish_loss(lost: Loss) -> None:
    """Show it, as a table of the run."""
    rows = [
        {"table": table, "rows that are lost": f"{count:,}"}
        for table, count in sorted(lost.tables.items())
    ]
    await acreate_table_artifact(
        rows or [{"table": lost.unreadable or "none differs", "rows that are lost": ""}],
        key="restore-replaces",
        description=f"What was done since {moment_of(lost.set_id)} is lost; set {lost.set_id}",
    )


@dataclass(frozen=True)
class Asked:
    """What a person is asked before anything is replaced."""

    run: str
    needs_code: bool
    """Whether reviewers are enrolled, so that one of them has to consent."""


@dataclass(frozen=True)
class Heard:
    """What came of an answer: who consented, or why that is not known."""

    by: str
    refusal: str = ""


@step("ask")
def ask_consent() -> Asked:
    """Say what the form has to ask for."""
    return Asked(carried_run().lease.run, services().consents.need_code())


@step("hear")
def hear_consent(set_id: str, approver: str, code: str) -> Heard:
    """Find out who consents; a wrong code is counted, and asked for again."""
    claim = Claim(approver.strip(), code.strip())
    try:
        return Heard(services().consents.give(carried_run().lease.run, set_id, claim))
    except Refused as error:
        return Heard("", error.message)


@step("safety-copy", policy=PLAIN)
def keep_safety_copy(lost: Loss) -> str:
    """Keep what is replaced, where it can be read; return the name of that set, or ''."""
    if lost.unreadable:
        return ""
    purpose = Purpose(kind="safety", reason=f"before the restore of {lost.set_id}")
    return services().backups.create(purpose).manifest.id


@step("make-ready", policy=PLAIN)
def make_ready(set_id: str) -> Prepared:
    """Make fresh stores from a set, beside the live ones; see `Restore.prepare`."""
    restore = _restore()
    return Prepared(restore.id, restore.prepare(services().backups.find(set_id)))


@step("hand-over")
def hand_over(prepared: Prepared, lost: Loss, by: str) -> None:
    """Put it on record, then ask the supervisor to switch: the last thing this run does."""
    dryad = services()
    dryad.audit.append(
        DEFAULT,
        "restore_requested",
        actor=by,
        subject=lost.set_id,
        data={"restore": prepared.id},
    )
    request(dryad.backups, prepared.id)


@step("report")
async def publish_restore(restore_id: str) -> str:
    """Show what a restore did, step by step; return which state is in force."""
    restore = _restore(restore_id)
    outcome = restore.outcome()
    rows = [
        {
            "step": entry.step,
            "at": f"{entry.at:%Y-%m-%d %H:%M:%S} UTC",
            "detail": str(entry.detail.get("reason") or entry.detail.get("held") or ""),
        }
        for entry in restore.journal.entries()
    ]
    await acreate_table_artifact(rows, key="restore-steps", description=f"Restore {restore_id}")
    await acreate_markdown_artifact(
        f"# Restore {restore_id}\n\nIn force: **{outcome.in_force}** (set {outcome.set_id}).\n\n"
        f"{outcome.reason}\n\nEverything stands still: look at what is held, then lift the global "
        "stop (`dryad lift global`) and wake the schedules.\n"
        if outcome.in_force == "restored"
        else f"# Restore {restore_id}\n\nIn force: **as before**. {outcome.reason}\n",
        key="restore-report",
    )
    return outcome.in_force


def _restore(restore_id: str = "") -> Restore:
    dryad = services()
    anchor = dryad.settings.audit_anchor
    assert anchor is not None
    if restore_id:
        return Restore(dryad.backups, anchor, restore_id)
    return Restore.new(dryad.backups, anchor)
