"""The runs of the installation as Prefect tasks: which are over, and forgetting them."""

import asyncio
from datetime import datetime, timedelta

from prefect import task

from dryad.foundation.ids import RunId
from tasks._policy import HEALING
from tasks._services import runs, services


@task(**HEALING)
async def find_finished(keep_days: int) -> list[RunId]:
    """Return the runs that ended longer ago than so many days; 0: than the settings say."""
    kept = timedelta(days=keep_days) if keep_days else services().settings.history_retention
    before: datetime = services().clock() - kept
    return await asyncio.to_thread(runs().ended, before)


@task(task_run_name="forget-batch-{number}", **HEALING)
async def forget(number: int, finished: list[RunId]) -> int:
    """Forget runs, but those whose task has not ended; return how many went.

    The run goes last: whatever stops this between, the next time finds the run again.
    """
    del number  # shown

    def do() -> int:
        going = sorted({*finished} - services().tasks.unended_of(finished))
        services().journal.forget(going)
        for run in going:
            runs().delete(run)
        return len(going)

    return await asyncio.to_thread(do)
