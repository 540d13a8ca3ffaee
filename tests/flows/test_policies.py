"""What a policy's rules want is what a task's run does."""

import json
from typing import Any

import pytest

from dryad.bootstrap import Services
from dryad.foundation.ids import RunId, TenantId
from dryad.orchestration.tasks import Task
from flows.orchestrate_task import TaskForm, orchestrate_task

# Prefect leaves its connections to be collected with the loop of a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

ACME = TenantId("acme")
LETTER = "Notify the operators that the window begins at 18:00."


async def carry_out(house: Services, rules: list[dict[str, Any]]) -> Task:
    house.provide_tenant(ACME)
    house.policies.set(ACME, {"rules": rules}, author="ann")
    state = await orchestrate_task(TaskForm(text=LETTER, tenant="acme"), return_state=True)
    task = house.tasks.of_run(RunId(str(state.state_details.flow_run_id)))
    assert task is not None
    return task


def letters(house: Services) -> list[dict[str, Any]]:
    box = house.settings.home / "mailbox" / "acme.jsonl"
    return [json.loads(line) for line in box.read_text().splitlines()] if box.exists() else []


async def test_a_call_that_wants_a_notice_happens_and_is_told(installation: Services):
    rules = [{"tools": ["notify"], "need": "notify"}, {"need": "automatic"}]
    task = await carry_out(installation, rules)
    assert task.status == "done"
    assert len(letters(installation)) == 1
    told = [row for row in installation.audit.export(ACME) if row["event"] == "call_notified"]
    assert [(row["subject"], row["data"]["tool"]) for row in told] == [(task.id, "notify")]


async def test_a_call_no_rule_speaks_of_does_not_happen(installation: Services):
    task = await carry_out(installation, [{"tiers": ["read"], "need": "automatic"}])
    assert letters(installation) == []
    assert "no rule of the policy speaks of it" in json.dumps(task.result)
