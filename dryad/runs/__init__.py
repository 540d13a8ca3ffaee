"""Submit, resume, cancel and look at flow runs: the only Prefect client in dryad.

It speaks Prefect's REST API over httpx instead of importing Prefect's client: that import costs
2.4 CPU seconds and 84 MB in every process that only wants to submit a run (httpx: 0.3 s, 32 MB).
The contract tests run it against a real Prefect server.
"""

from dryad.runs.client import Runs
from dryad.runs.types import (
    RUN_ENDED,
    Deployment,
    Pool,
    RunState,
    StateType,
    StoredAnswer,
    Worker,
)

__all__ = [
    "RUN_ENDED",
    "Deployment",
    "Pool",
    "RunState",
    "Runs",
    "StateType",
    "StoredAnswer",
    "Worker",
]
