"""What `dryad up --demo` does once everything runs: documents to read, and three tasks.

One is done by one agent, one by a task force, one waits for a person. Doing it again changes
nothing: the same documents are kept once, and the tasks have keys of their own.
"""

import time
from collections.abc import Callable
from pathlib import Path

from dryad.bootstrap import Services
from dryad.foundation.errors import Unavailable
from dryad.foundation.ids import RunId
from dryad.foundation.tenants import DEFAULT
from dryad.orchestration.tasks import Request, Task
from dryad.runs import RUN_ENDED, Runs

WEEK_SECONDS = 7 * 86_400
_INGEST_SECONDS = 180

_TASKS = {
    "demo-one-agent": "What happens to a task when its flow run is suspended?",
    "demo-task-force": (
        "Explain how a lease keeps two processes from carrying one run; "
        "calculate the mean of 12, 15, 18 and 27."
    ),
    "demo-person": "Notify the operators that the maintenance window begins at 18:00.",
}


def demo(services: Services, runs: Runs, say: Callable[[str], None]) -> list[Task]:
    """Ingest the project's own documentation and submit the three tasks.

    Args:
        services: The installation's.
        runs: Its Prefect server, with the deployments registered.
        say: Told what is being done, a line at a time.

    Raises:
        Unavailable: the documents were not read in time.
    """
    root = Path(__file__).parents[2]
    if (root / "docs").is_dir():
        say("reading the project's documentation")
        _wait(runs, _ingest(runs, root / "docs"))
    submitted: list[Task] = []
    for key, text in _TASKS.items():
        task = services.tasks.submit(
            Request(
                tenant=DEFAULT,
                text=text,
                requester="demo",
                idempotency_key=key,
                budget={"answer_within_seconds": WEEK_SECONDS},
            )
        )
        if task.run is None and not task.ended:
            services.tasks.sent(task.id, runs.submit(task.id, task.tenant))
        say(f"task {task.id}: {text}")
        submitted.append(task)
    return submitted


def _ingest(runs: Runs, path: Path) -> RunId:
    newest = max(file.stat().st_mtime_ns for file in path.rglob("*"))
    request = {"path": str(path), "category": "documentation", "provenance": "trusted"}
    return runs.start(
        "ingest-documents/on-demand",
        {"request": request},
        name="ingest-documentation",
        tags=[f"tenant:{DEFAULT}"],
        key=f"demo-documentation-{newest}",
    )


def _wait(runs: Runs, run: RunId) -> None:
    deadline = time.monotonic() + _INGEST_SECONDS
    while (state := runs.state(run)).type not in RUN_ENDED:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the documentation was not read within {_INGEST_SECONDS} s: {state.name}",
                "Look at the run `ingest-documentation` in the Prefect UI.",
            )
        time.sleep(0.5)
    if state.type != "COMPLETED":
        raise Unavailable(f"reading the documentation ended {state.name}")
