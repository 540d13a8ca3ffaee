"""The product's deployments run unchanged on pools of Prefect's own types."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dryad.runs import Runs
from tests import engine, services
from tests.servers import PrefectServer, stop, wait_for

PRODUCT = Path(__file__).parents[2] / "prefect.yaml"


@pytest.fixture(scope="module")
def docker() -> Generator[None]:
    """An engine answers, ours or the machine's."""
    with engine.docker_engine() as address, pytest.MonkeyPatch.context() as patch:
        if address:
            patch.setenv("DOCKER_HOST", address)
        services.need("docker")
        engine.import_image()
        if refused := engine.refusal():
            services.lack("docker", refused)
        yield


def template(kind: str, home: Path, api: httpx.Client) -> dict[str, Any]:
    """What an operator says of the pool: where its containers find DRYAD and its home."""
    found = api.get("/collections/views/aggregate-worker-metadata").raise_for_status().json()
    wanted = next(types[kind] for types in found.values() if kind in types)
    template = wanted["default_base_job_configuration"]
    if kind == "docker":
        fields = template["variables"]["properties"]
        fields["image"]["default"] = engine.IMAGE
        fields["image_pull_policy"]["default"] = "Never"
        fields["auto_remove"]["default"] = True
        fields["volumes"]["default"] = engine.seen_by_guests(home)
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin"])
        fields["env"]["default"] = {
            "PATH": path,
            "HOME": "/tmp",
            "PYTHONPATH": str(PRODUCT.parent),
            "DRYAD_HOME": str(home),
        }
    return template


@pytest.fixture(params=["process", "docker"])
def elsewhere(
    request: pytest.FixtureRequest,
    prefect_server: PrefectServer,
    api: httpx.Client,
    home: Path,
    tmp_path: Path,
) -> Generator[str]:
    """A stock worker serves the pool `elsewhere`, on which the product is deployed."""
    kind = str(request.param)
    if kind == "docker":
        request.getfixturevalue("docker")
    pool = {"name": "elsewhere", "type": kind, "base_job_template": template(kind, home, api)}
    api.post("/work_pools/", json=pool).raise_for_status()
    file = tmp_path / "prefect.yaml"
    file.write_text(PRODUCT.read_text().replace("{name: dryad}", "{name: elsewhere}"))
    environment = prefect_server.environment
    subprocess.run(
        [sys.executable, "-P", "-m", "deployments.apply", str(file)], env=environment, check=True
    )
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", "elsewhere",
             "--type", kind, "--install-policy", "never"],
            env={**environment, "PREFECT_WORKER_QUERY_SECONDS": "1", "DRYAD_HOME": str(home)},
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
    yield kind
    stop(worker, seconds=1)  # Prefect's own takes half a minute to leave
    for row in api.post("/deployments/filter", json={}).json():
        api.delete(f"/deployments/{row['id']}").raise_for_status()
    api.delete("/work_pools/elsewhere").raise_for_status()


def test_a_task_is_done_on_a_pool_of_another_type(
    elsewhere: str, runs: Runs, api: httpx.Client
) -> None:
    form = {"text": "Summarise what DRYAD is in one sentence"}
    run = runs.start("orchestrate-task/on-demand", {"request": form}, name="task", key=uuid4().hex)
    wait_for("the run", lambda: runs.state(run).ended, seconds=180)
    assert runs.state(run).type == "COMPLETED", runs.state(run)
    report = {"artifacts": {"flow_run_id": {"any_": [run]}}}
    artifacts = api.post("/artifacts/filter", json=report).raise_for_status().json()
    assert any(form["text"] in str(artifact["data"]) for artifact in artifacts)
