"""The same flows run unchanged on a pool of Prefect's own type."""

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from dryad.runs import Runs
from tests.servers import PrefectServer, stop, wait_for


@pytest.fixture
def stock(
    prefect_server: PrefectServer, api: httpx.Client, home: Path, tmp_path: Path
) -> Generator[None]:
    """A stock worker serves the pool `stock`, on which the product's road is deployed."""
    flow = api.post("/flows/", json={"name": "do-a-task"}).raise_for_status().json()["id"]
    pool = {"name": "stock", "type": "process"}
    api.post("/work_pools/", json=pool).raise_for_status()
    deployment = {
        "name": "stock",
        "flow_id": flow,
        "work_pool_name": "stock",
        "entrypoint": "tests.deployments.example_flows.do_a_task",
    }
    api.post("/deployments/", json=deployment).raise_for_status()
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", "stock",
             "--type", "process", "--install-policy", "never"],
            env={**prefect_server.environment, "PREFECT_WORKER_QUERY_SECONDS": "1",
                 "DRYAD_HOME": str(home)},
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
    yield
    stop(worker)
    api.delete("/work_pools/stock").raise_for_status()


def test_a_task_is_done_on_a_stock_process_pool(stock: None, runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "late"
    run = runs.start("do-a-task/stock", {"path": str(path)}, name="t", key=uuid4().hex)
    wait_for("the run", lambda: runs.state(run).ended, seconds=120)
    assert runs.state(run).type == "COMPLETED", runs.state(run)
    assert "flows.orchestrate_task" in json.loads(path.read_text()), "imported by the run itself"
