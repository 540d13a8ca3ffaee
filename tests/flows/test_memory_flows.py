"""What expires is kept when it is worth it, once; a new model reaches every passage."""

from datetime import timedelta
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from dryad.bootstrap import Services
from dryad.execution.memories import Document
from dryad.foundation.ids import TenantId
from dryad.memory.librarian import Librarian
from flows.consolidate_memory import ConsolidationForm, consolidate_memory
from flows.reindex_memory import ReindexForm, reindex_memory

# Prefect leaves its connections to be collected with the loop of a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

ACME = TenantId("acme")
WORTH = "The second turbine shows cracks in two of its blades and must stand still until May."


async def shown(run: UUID) -> str:
    async with get_client() as client:
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        return str(
            [artifact.data for artifact in await client.read_artifacts(artifact_filter=mine)]
        )


async def test_what_is_worth_it_is_kept_once_with_its_owner_and_its_label(installation: Services):
    archivist, soon = installation.archivist, timedelta(hours=1)
    archivist.remember(ACME, "scout", "turbine", WORTH, ttl=soon, provenance="untrusted")
    archivist.remember(ACME, "scout", "counter", 17, ttl=soon)
    archivist.remember(ACME, "scout", "noise", "x9 q7 zz kk 00 11 22 33 44 55", ttl=soon)
    archivist.remember(ACME, "scout", "young", WORTH + " It lasts.", ttl=timedelta(days=2))
    state = await consolidate_memory(ConsolidationForm(), return_state=True)
    assert state.message == "1 of 3 expiring values are kept"
    (kept,) = installation.librarian.list(ACME)
    assert (kept.agent, kept.provenance, kept.category) == ("scout", "untrusted", "episodic")
    assert installation.librarian.search(ACME, "cracked blades")[0].text == WORTH
    assert archivist.recall(ACME, "scout", "turbine") is not None
    assert state.state_details.flow_run_id is not None
    table = await shown(state.state_details.flow_run_id)
    for reason in ("says something new", "too short", "no clear language"):
        assert reason in table
    again = await consolidate_memory(ConsolidationForm(tenant="acme"), return_state=True)
    assert again.message == "0 of 3 expiring values are kept"
    assert installation.librarian.count(ACME) == 1
    refused = await consolidate_memory(ConsolidationForm(tenant="initech"), return_state=True)
    assert refused.name == "Refused"


async def test_every_passage_gets_a_vector_of_the_model_in_force(
    installation: Services, monkeypatch: pytest.MonkeyPatch
):
    plain = Librarian(installation.database)
    plain.shelve_all(
        ACME, [Document("T", f"The physician examined case {n}.", str(n)) for n in range(20)]
    )
    refused = await reindex_memory(ReindexForm(), return_state=True)
    assert refused.name == "Refused"
    assert "DRYAD_EMBEDDER" in str(refused.message)
    for name in ("embedder", "librarian"):
        installation.__dict__.pop(name, None)
    with_model = installation.settings.model_copy(update={"embedder": "minilm"})
    monkeypatch.setattr(installation, "settings", with_model)
    assert installation.librarian.embed_pending(ACME, limit=7) == 7
    found = installation.librarian.search(ACME, "physician", 100)
    assert len(found) == 20, "by word until the rest has vectors"
    state = await reindex_memory(ReindexForm(), return_state=True)
    assert state.message == "13 passages have vectors of all-MiniLM-L6-v2"
    assert state.state_details.flow_run_id is not None
    assert await shown(state.state_details.flow_run_id) == "[100]"
    assert installation.librarian.count_pending(ACME) == 0
    assert installation.librarian.search(ACME, "doctor")[0].parts["meaning"] > 0
    again = await reindex_memory(ReindexForm(), return_state=True)
    assert str(again.message).startswith("0 passages")
