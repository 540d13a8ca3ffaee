"""Level 0 as Prefect tasks: the kill switch."""

import asyncio

from prefect import task
from prefect.artifacts import acreate_table_artifact

from tasks._policy import HEALING, PLAIN
from tasks._services import services


@task(task_run_name="stop-{scope}", **HEALING)
async def stop(tenant: str, scope: str, reason: str, by: str) -> None:
    """Put a stop in force; stopping twice is stopping once; see `Stops.set`."""
    await asyncio.to_thread(services().stops.set, tenant, scope, reason=reason, by=by)


@task(task_run_name="lift-{scope}", **PLAIN)
async def lift(tenant: str, scope: str, reason: str, by: str) -> None:
    """Lift a stop; see `Stops.lift`. Tried once: a second time would find nothing to lift."""
    await asyncio.to_thread(services().stops.lift, tenant, scope, reason=reason, by=by)


@task(**PLAIN)
async def publish_stops() -> None:
    """Show every stop in force as a table artifact of the run."""
    stops = await asyncio.to_thread(services().stops.list)
    await acreate_table_artifact(
        [
            {
                "scope": entry.scope,
                "tenant": entry.tenant or "every",
                "reason": entry.reason,
                "set by": entry.set_by,
                "since": f"{entry.set_at:%Y-%m-%d %H:%M} UTC",
            }
            for entry in stops
        ],
        key="stops-in-force",
        description="Stops in force" if stops else "Nothing is stopped",
    )
