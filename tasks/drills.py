"""A recovery drill as steps of a run."""

from prefect.artifacts import acreate_table_artifact

from dryad.operations.backups.manifest import hours_of
from dryad.operations.drills import RPO, RTO, Drill, checklist
from dryad.operations.objectives import record
from dryad.platform.drill import drill
from tasks._journal import step
from tasks._policy import PLAIN
from tasks._services import services


@step("drill", policy=PLAIN)
def run_drill(wanted: str) -> Drill:
    """Recover from a set in a scratch place; see `platform.drill`. On record, however it went."""
    dryad = services()
    ended = drill(dryad.settings, wanted)
    record(dryad.audit, ended, actor="recovery-drill")
    return ended


@step("show-drill")
async def publish_drill(ended: Drill) -> None:
    """Show what was measured, beside what was promised."""
    rows = [
        {"what": step, "measured": f"{seconds:.1f} s", "allowed": ""}
        for step, seconds in ended.steps.items()
    ]
    rows.append({"what": "RTO", "measured": hours_of(ended.rto), "allowed": hours_of(RTO)})
    rows.append({"what": "RPO", "measured": hours_of(ended.rpo), "allowed": hours_of(RPO)})
    rows += [{"what": "problem", "measured": text, "allowed": "none"} for text in ended.problems]
    await acreate_table_artifact(
        rows, key="recovery-objectives", description=f"Drill with set {ended.set_id}"
    )


@step("show-checklist")
async def publish_checklist(ended: Drill, answers: dict[str, str]) -> None:
    """Show the runbook's list for a disaster, with who says so for each line."""
    await acreate_table_artifact(
        checklist(ended, answers), key="recovery-checklist", description="Disaster recovery, §5.4"
    )
