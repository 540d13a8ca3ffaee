"""What an operator ingests is searchable afterwards, shown on the run, and never done twice."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact
from prefect.settings import get_current_settings
from prefect.states import Scheduled

from dryad.bootstrap import Services
from dryad.foundation.ids import RunId, TenantId
from flows.ingest_documents import IngestRequest, ingest_documents
from tests.servers import wait_for

# Prefect leaves its connections to be collected with the loop of a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

ACME = TenantId("acme")

CARRY = """
import asyncio, sys
from prefect import get_client
from prefect.flow_engine import run_flow_async
from flows.ingest_documents import ingest_documents

async def main():
    async with get_client() as client:
        run = await client.read_flow_run(sys.argv[1])
    state = await run_flow_async(
        ingest_documents,
        flow_run=run,
        parameters={"request": ingest_documents.validate_parameters(run.parameters)["request"]},
        return_type="state",
    )
    print(state.name, state.message)

asyncio.run(main())
"""


def library(root: Path, files: int) -> Path:
    root.mkdir()
    for number in range(files):
        (root / f"{number:03d}.md").write_text(f"# Page {number}\n\nLamp number {number} is green.")
    return root


async def artifacts(run: UUID) -> dict[str, Artifact]:
    async with get_client() as client:
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        found = await client.read_artifacts(artifact_filter=mine)
    assert len({artifact.description for artifact in found}) == len(found)
    return {str(artifact.description): artifact for artifact in found}


async def test_files_go_in_and_the_run_shows_which(installation: Services, tmp_path: Path):
    root = library(tmp_path / "library", 60)
    (root / "photo.jpg").write_bytes(b"\xff\xd8")
    request = IngestRequest(path=str(root), tenant="acme", provenance="trusted", name="lamps")
    state = await ingest_documents(request, return_state=True)
    assert (state.name, state.message) == ("Completed", "60 files are in memory, 1 skipped")
    hit = installation.librarian.search(ACME, "lamp 17")[0]
    assert (hit.origin, hit.provenance) == ("lamps/017.md", "trusted")
    assert state.state_details.flow_run_id is not None
    shown = await artifacts(state.state_details.flow_run_id)
    assert float(str(shown["Files read"].data)) == 100
    assert "| skipped | 1 |" in str(shown["Report"].data)
    assert "unknown type .jpg" in str(shown["Files"].data)
    assert "lamps" not in str(state.message)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"path": "/nowhere/at/all"}, "not below"),
        ({"path": "relative"}, "must be absolute"),
        ({"path": "/etc"}, "not below a path that may be ingested"),
        ({"path": " \n"}, "name a path"),
        ({"tenant": "initech"}, "no tenant"),
        ({"category": "Not A Name"}, "category"),
    ],
)
async def test_a_request_that_cannot_be_met_is_refused(
    installation: Services, tmp_path: Path, change: dict[str, Any], why: str
):
    values = {"path": str(library(tmp_path / "library", 1)), "tenant": "acme"} | change
    state = await ingest_documents(IngestRequest(**values), return_state=True)
    assert state.name == "Refused"
    assert why in str(state.message)
    assert installation.librarian.count(ACME) == 0


def test_killed_and_run_again_it_goes_on_where_it_was(installation: Services, tmp_path: Path):
    root = library(tmp_path / "library", 500)
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            ingest_documents, parameters={"request": {"path": str(root), "tenant": "acme"}}
        )
    environ = os.environ | {"PREFECT_API_URL": str(get_current_settings().api.url)}
    command = [sys.executable, "-c", CARRY, str(run.id)]
    first = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
    wait_for("the first batches", lambda: installation.librarian.count(ACME) >= 100)
    first.kill()
    first.wait()
    kept = installation.librarian.list(ACME, limit=1_000)
    assert len(kept) < 500

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Scheduled(), force=True)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert "Completed 500 files are in memory, 0 skipped" in done.stdout
    everything = installation.librarian.list(ACME, limit=1_000)
    assert len(everything) == 500
    assert everything[: len(kept)] == kept
    batches = [s for s in installation.journal.steps(RunId(str(run.id))) if s.path == "ingest"]
    assert [step.ordinal for step in batches] == list(range(1, 11))
    assert {step.attempt for step in batches} == {1, 2}
    shown = asyncio.run(artifacts(run.id))
    assert "| new or changed |" in str(shown["Report"].data)
