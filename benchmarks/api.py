"""Compare an authenticated, logged `GET /api/v1/tasks/{id}` and `/health` with a bare FastAPI app.

    python -m benchmarks.api

Two servers of one uvicorn process each answer in turns, over one connection kept open. CPU is that
of the server process for one request; the best of several rounds counts. The bare application has
the same routes, typed and `def` alike, answers the same task from a constant, and knows no key, no
tenant, no database and no log.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import psutil
import uvicorn
from fastapi import FastAPI

from dryad.api.routes.tasks import TaskDetail
from dryad.bootstrap import Services
from dryad.foundation.database import migrate
from dryad.foundation.environment import load
from dryad.foundation.ids import TenantId
from dryad.foundation.provision import provision
from dryad.orchestration.tasks import Request
from dryad.runs import Runs
from tests.servers import free_port, wait_for

REQUESTS, ROUNDS = 300, 5


def bare(port: int) -> None:
    """Serve what FastAPI alone can do."""
    app, task = FastAPI(), TaskDetail.model_validate_json(sys.stdin.read())

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.get("/api/v1/tasks/{task_id}")
    def show(task_id: str) -> TaskDetail:
        return task

    uvicorn.run(app, port=port, access_log=False, log_level="warning")


def installed(home: Path) -> tuple[str, str]:
    """Make an installation with one task; return the operator's key and the task's id."""
    settings, _ = load({"DRYAD_HOME": str(home)})
    with (
        closing(Runs(settings.prefect_url)) as runs,
        closing(Services(settings, answers=runs, component="benchmark")) as services,
    ):
        migrate.upgrade(services.database)
        provision(services.database, services.secrets)
        task = services.tasks.submit(Request(tenant=TenantId("default"), text="Sum it up"))
        return services.secrets.operator_key, task.id


@contextmanager
def serving(port: int, *command: str, home: Path, stdin: bytes = b"") -> Generator[psutil.Process]:
    environ = {**os.environ, "DRYAD_HOME": str(home), "DRYAD_API_PORT": str(port)}
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", *command], env=environ, stdin=subprocess.PIPE
    )
    assert server.stdin is not None
    server.stdin.write(stdin)
    server.stdin.close()
    try:
        wait_for(command[0], lambda: answers(port))
        yield psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(timeout=30)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


def cost(server: psutil.Process, client: httpx.Client, path: str) -> tuple[float, float]:
    """Return CPU and wall milliseconds of one request."""
    before, began = server.cpu_times(), time.perf_counter()
    for _ in range(REQUESTS):
        client.get(path).raise_for_status()
    after, wall = server.cpu_times(), time.perf_counter() - began
    cpu = after.user + after.system - before.user - before.system
    return cpu / REQUESTS * 1000, wall / REQUESTS * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        key, task = installed(home)
        ours_port, bare_port = free_port(), free_port()
        headers = {"Authorization": f"Bearer {key}"}
        with (
            serving(ours_port, "dryad.api", home=home) as ours,
            httpx.Client(base_url=f"http://127.0.0.1:{ours_port}", headers=headers) as to_ours,
        ):
            shown = to_ours.get(f"/api/v1/tasks/{task}").raise_for_status().content
            with (
                serving(
                    bare_port, "benchmarks.api", str(bare_port), home=home, stdin=shown
                ) as other,
                httpx.Client(base_url=f"http://127.0.0.1:{bare_port}", headers=headers) as to_bare,
            ):
                for path in ("/health", f"/api/v1/tasks/{task}"):
                    compare(path.replace(task, "{id}"), path, (ours, to_ours), (other, to_bare))
                sys.stdout.write(f"memory of the API {ours.memory_info().rss / 1e6:.0f} MB\n")


def compare(
    name: str,
    path: str,
    ours: tuple[psutil.Process, httpx.Client],
    other: tuple[psutil.Process, httpx.Client],
) -> None:
    rounds = [(cost(*ours, path), cost(*other, path)) for _ in range(ROUNDS)]
    cpu, wall = (min(one[0][n] for one in rounds) for n in (0, 1))
    bare_cpu, bare_wall = (min(one[1][n] for one in rounds) for n in (0, 1))
    sys.stdout.write(
        f"{name}: CPU {cpu:.2f} ms, bare {bare_cpu:.2f} ms: {cpu / bare_cpu:.2f} x;"
        f" wall {wall:.2f} ms, bare {bare_wall:.2f} ms: {wall / bare_wall:.2f} x\n"
    )


if __name__ == "__main__":
    bare(int(sys.argv[1])) if len(sys.argv) > 1 else main()
