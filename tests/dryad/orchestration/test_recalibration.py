"""A tenant's labels make a new version of its policy, and can be taken back."""

import pytest

from dryad.foundation.errors import InvalidRequest, NotFound
from dryad.foundation.ids import TenantId
from dryad.orchestration.recalibration import Label, Recalibrations
from tests.dryad.orchestration.conftest import ACME, House

SHORT = "Explain {0}. Explain how {0} is kept."
SINGLE = "Explain {0}."


@pytest.fixture
def recalibrations(house: House) -> Recalibrations:
    return Recalibrations(house.decisions, house.tasks, house.policies)


def labels() -> list[Label]:
    words = [f"subject {number}" for number in range(30)]
    return [
        *(Label(several=True, text=SHORT.format(word)) for word in words),
        *(Label(several=False, text=SINGLE.format(word)) for word in words),
    ]


def test_labels_lift_the_scores_of_a_tenant_that_writes_briefly(
    house: House, recalibrations: Recalibrations
):
    before = house.decide(SHORT.format("a lease")).score
    made = recalibrations.refit(ACME, labels(), author="ann")
    after = house.decide(SHORT.format("a lease"))
    assert after.score > before
    assert made.fitted.ece_after < made.fitted.ece_before
    assert after.policy_version == made.policy.version == 1
    assert after.details["complexity"]["requires_collaboration"]
    assert made.to_json()["slope"] == house.policies.current(ACME).score_slope


def test_a_dry_run_changes_nothing(house: House, recalibrations: Recalibrations):
    recalibrations.refit(ACME, labels(), author="ann", apply=False)
    assert house.policies.current(ACME).version == 0


def test_a_correction_is_taken_back_and_the_rest_of_the_policy_stays(
    house: House, recalibrations: Recalibrations
):
    recalibrations.refit(ACME, labels(), author="ann")
    changed = house.policies.current(ACME).model_dump(exclude={"version", "author", "created"})
    house.policies.set(ACME, changed | {"approval_tier": "read"}, author="bob")
    undone = recalibrations.undo(ACME, author="ann")
    assert (undone.score_slope, undone.score_offset, undone.task_force_above) == (1, 0, 0.55)
    assert (undone.version, undone.approval_tier) == (3, "read")
    events = [event["event"] for event in house.audit.export(ACME)]
    assert events.count("policy_set") == 3


def test_a_decision_can_be_labelled_by_its_id_or_its_task(
    house: House, recalibrations: Recalibrations
):
    task = house.submit("Explain leases.")
    house.orchestrator().decide(task)
    decision = house.decisions.get(ACME, task.id)["id"]
    for name in (task.id, decision):
        more = [*labels(), Label(several=False, decision=name)]
        assert recalibrations.refit(ACME, more, author="a", apply=False).fitted.labels == 61
    foreign = [Label(several=False, decision=decision)]
    with pytest.raises(NotFound):
        recalibrations.refit(TenantId("globex"), foreign, author="a")


def test_what_says_nothing_is_refused(house: House, recalibrations: Recalibrations):
    with pytest.raises(InvalidRequest, match="at least 20"):
        recalibrations.refit(ACME, labels()[:10], author="a")
    with pytest.raises(InvalidRequest, match="a decision or a text"):
        recalibrations.refit(ACME, [Label(several=True)], author="a")
    with pytest.raises(NotFound, match="no earlier calibration"):
        recalibrations.undo(ACME, author="a")
