"""What a run uses is charged to its task, its project and its tenant, and no more is allowed."""

from typing import Any

import pytest

from dryad.bootstrap import Services
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.tasks import Request, Task
from flows.orchestrate_task import TaskForm, orchestrate_task
from flows.prune_history import PruneForm, prune_history

# Prefect leaves its connections to be collected with the loop of a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

ACME = TenantId("acme")


async def carry_out(house: Services, **budget: Any) -> Task:
    house.provide_tenant(ACME)
    house.policies.set(ACME, {"rules": [{"need": "automatic"}]}, author="ann")
    text = "Notify the operators that the window begins at 18:00."
    asked = house.tasks.submit(Request(tenant=ACME, text=text, budget=budget))
    form = TaskForm(text="", tenant="acme", task_id=asked.id)
    state = await orchestrate_task(form, return_state=True)
    assert house.tasks.of_run(RunId(str(state.state_details.flow_run_id)))
    return house.tasks.find(TaskId(asked.id))


async def test_a_task_is_charged_to_all_who_pay_and_nothing_stays_held(installation: Services):
    task = await carry_out(installation, project="web")
    assert task.status == "done"
    accounts = installation.budgets.of_tenant("acme")
    assert [one.name for one in accounts][:3] == [
        "acme", "acme/project:web", f"acme/task:{task.id}"
    ]  # fmt: skip
    for account in accounts:
        assert account.lines["requests"].spent >= 2
        assert account.lines["tool_calls"].spent == 1
        assert {line.reserved for line in account.lines.values()} == {0}
    assert accounts[2].lines["tokens"].cap == installation.settings.max_tokens


async def test_an_agent_stops_where_a_budget_ends(installation: Services):
    installation.budgets.set_caps("acme", {"tool_calls": 0}, by="ann")
    task = await carry_out(installation)
    assert task.status != "done"
    (case,) = installation.cases.of_task(ACME, task.id)
    assert "the budget of acme does not allow it" in case.brief
    assert installation.budgets.get("acme").lines["tool_calls"].spent == 0


async def test_a_task_force_wider_than_the_budget_allows_is_refused(installation: Services):
    installation.provide_tenant(ACME)
    installation.budgets.set_caps("acme", {"fan_out": 2}, by="ann")
    bullets = "- Explain leases\n- Explain stops\n- Explain keys\n- Explain shelves"
    asked = installation.tasks.submit(Request(tenant=ACME, text=bullets))
    form = TaskForm(text="", tenant="acme", task_id=asked.id)
    await orchestrate_task(form, return_state=True)
    task = installation.tasks.find(TaskId(asked.id))
    assert task.status == "refused"
    assert "the fan_out of 4 is above the budget of acme, 2" in task.reason


async def test_what_was_used_is_charted_once_a_day(installation: Services):
    from prefect import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    installation.budgets.set_caps("acme", {"tokens": 1000}, by="ann")
    held = installation.budgets.reserve(["acme"], {"tokens": 250})
    installation.budgets.settle(held.id, None)
    await prune_history(PruneForm(keep_days=0))
    async with get_client() as client:
        (chart,) = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["budgets"]))
        )
    assert "| `acme` | tokens | 250 | 0 | 1,000 | ![25%](data:image/png;base64," in str(chart.data)
