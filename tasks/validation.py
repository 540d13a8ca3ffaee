"""Validations as Prefect tasks: one a level."""

import asyncio
from collections.abc import Sequence

from prefect import task
from prefect.artifacts import acreate_table_artifact

from dryad.foundation.validation import Validation
from dryad.gates import LEVELS, validate_levels
from tasks._policy import PLAIN
from tasks._services import services


def built_levels() -> list[int]:
    """Return the levels that can be validated."""
    return sorted(LEVELS)


@task(task_run_name="validate-level-{level}", **PLAIN)
async def validate_level(level: int) -> Validation:
    """Make the checks of one level; see `gates.validate_levels`."""
    (found,) = await asyncio.to_thread(validate_levels, services(), [level])
    return found


@task(**PLAIN)
async def publish_validation(found: Sequence[Validation]) -> None:
    """Show every check: what holds, and what mends what does not."""
    rows = [
        {
            "level": f"{one.level} {one.name}",
            "score": f"{one.percent} %",
            "check": finding.check,
            "cause": finding.cause or "holds",
            "mend": finding.mend if finding.cause else "",
            "seconds": f"{finding.seconds:.2f}",
        }
        for one in found
        for finding in one.findings
    ]
    await acreate_table_artifact(rows, key="validation", description="Validation of the levels")
