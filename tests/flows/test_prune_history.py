"""What finished long ago goes; what waits, is held or is young stays."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import get_current_settings

from dryad.bootstrap import Services
from dryad.foundation.clock import utc_now
from dryad.foundation.ids import RunId, TenantId
from dryad.orchestration.tasks import Request
from dryad.runs import Runs
from flows.prune_history import PruneForm, prune_history
from tasks import runs as steps

# Prefect leaves its connections to be collected with the loop of a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


async def ended_run(client: PrefectClient) -> RunId:
    """Make a run of the pool that has completed."""
    flow_id = await client.create_flow_from_name("example")
    deployment = await client.create_deployment(flow_id, "old", work_pool_name="dryad")
    run = await client.create_flow_run_from_deployment(deployment)
    for kind in (StateType.RUNNING, StateType.COMPLETED):
        await client.set_flow_run_state(run.id, State(type=kind), force=True)
    return RunId(str(run.id))


async def is_there(client: PrefectClient, run: RunId) -> bool:
    try:
        await client.read_flow_run(UUID(run))
    except ObjectNotFound:
        return False
    return True


async def test_what_finished_before_the_retention_goes_with_its_journal(
    installation: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = get_current_settings().api
    assert api.url is not None
    client_of_the_harness = Runs(api.url)
    monkeypatch.setattr(steps, "runs", lambda: client_of_the_harness)
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name="dryad", type="process"))
        done, held = await ended_run(client), await ended_run(client)
        for run in (done, held):
            lease = installation.journal.claim(run, holder="test")
            installation.journal.record(lease, "assess", 1, {}, "something")
            task = installation.tasks.submit(Request(tenant=TenantId("acme"), text=run))
            installation.tasks.sent(task.id, run)
            if run == done:
                installation.tasks.cancel(TenantId("acme"), task.id, actor="test")

        state = await prune_history(PruneForm(), return_state=True)
        assert state.message == "0 runs forgotten, 0 kept for their tasks"
        assert len(installation.journal.steps(done)) == 1

        installation.clock = lambda: utc_now() + timedelta(days=31)
        state = await prune_history(PruneForm(), return_state=True)
        assert state.message == "1 runs forgotten, 1 kept for their tasks"
        assert [await is_there(client, run) for run in (done, held)] == [False, True]
    assert [len(installation.journal.steps(run)) for run in (done, held)] == [0, 1]
    client_of_the_harness.close()
