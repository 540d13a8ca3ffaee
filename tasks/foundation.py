"""Level 0 as Prefect tasks: the kill switch, and what was used."""

import asyncio

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from dryad.orchestration.review.reviewers import Claim
from dryad.orchestration.spending import spending_page
from tasks._policy import HEALING, PLAIN
from tasks._services import services


@task(task_run_name="stop-{scope}", **HEALING)
async def stop(tenant: str, scope: str, reason: str, by: str) -> None:
    """Put a stop in force; stopping twice is stopping once; see `Stops.set`."""
    await asyncio.to_thread(services().stops.set, tenant, scope, reason=reason, by=by)


@task(task_run_name="lift-{scope}", **PLAIN)
async def lift(tenant: str, scope: str, reason: str, by: str, code: str) -> None:
    """Lift a stop; see `Lifting.lift`. Tried once: a second time would find nothing to lift."""
    await asyncio.to_thread(
        services().lifting.lift,
        tenant,
        scope,
        reason=reason,
        claim=Claim(by.strip(), code.strip()),
        typed=scope,
        form=True,
    )


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


@task(**PLAIN)
async def publish_budgets() -> None:
    """Show what every tenant and project may use and used, as a chart among the artifacts."""
    page = await asyncio.to_thread(_spending)
    await acreate_markdown_artifact(page, key="budgets", description="Budgets of 30 days")


def _spending() -> str:
    budgets, tenants = services().budgets, services().tenants.list()
    accounts = [
        account
        for tenant in tenants
        for account in (
            *budgets.of_tenant(tenant.id, begins="project:"),
            *(one for one in budgets.of_tenant(tenant.id, limit=1) if one.name == tenant.id),
        )
    ]
    return spending_page(accounts)
