"""When a task is tried again: the error decides."""

from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from dryad.foundation.errors import Unavailable


async def heals(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry only what may heal."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, Unavailable)


# What already happened is looked up in the journal, so Prefect keeps and caches nothing.
PLAIN: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE}
HEALING: dict[str, Any] = {
    **PLAIN,
    "retries": 3,
    "retry_delay_seconds": [0.5, 2, 10],
    "retry_condition_fn": heals,
}
