"""A policy counts only when it can be read, and every version stays."""

from pathlib import Path

import pytest
from sqlalchemy import text

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.errors import Corrupt, InvalidRequest, NotFound
from dryad.foundation.policies import Change, Policies
from dryad.foundation.tenants import Tenants
from tests.crowd import crowd


@pytest.fixture
def audit(database: Database, tmp_path: Path) -> Audit:
    return Audit(database, b"k" * 32, tmp_path / "heads")


@pytest.fixture
def policies(database: Database, audit: Audit) -> Policies:
    Tenants(database).create("acme", "Acme")
    return Policies(database, audit)


def test_without_a_document_what_is_built_in_holds(policies: Policies):
    policy = policies.current("acme")
    assert (policy.version, policy.approval_tier) == (0, "external")
    assert (policy.task_force_above, policy.escalate_above) == (0.55, 0.9)


def test_the_highest_version_is_in_force_and_the_others_stay(policies: Policies):
    policies.set("acme", '{"approval_tier": "reversible"}', author="ann")
    second = policies.set("acme", {"escalate_above": 0.7}, author="bob")
    assert policies.current("acme") == second
    assert (second.version, second.author, second.approval_tier) == (2, "bob", "external")
    assert policies.get("acme", 1).approval_tier == "reversible"
    assert [policy.version for policy in policies.list("acme")] == [2, 1, 0]
    assert policies.current("globex").version == 0


def test_two_versions_are_compared_field_by_field(policies: Policies):
    policies.set("acme", {"approval_tier": "read", "escalate_above": 0.8}, author="ann")
    assert policies.diff("acme", 0, 1) == [
        Change("approval_tier", "external", "read"),
        Change("escalate_above", 0.9, 0.8),
    ]
    with pytest.raises(NotFound):
        policies.diff("acme", 0, 2)


def test_a_change_is_on_record_with_what_changed(policies: Policies, audit: Audit):
    policies.set("acme", {"approval_tier": "read"}, author="ann")
    (row,) = audit.export("acme")
    assert (row["event"], row["actor"], row["subject"]) == ("policy_set", "ann", "policy 1")
    assert row["data"] == {"approval_tier": {"before": "external", "after": "read"}}


def test_the_same_document_again_makes_no_version(policies: Policies, audit: Audit):
    policies.set("acme", {"escalate_above": 0.8}, author="ann")
    assert policies.set("acme", {"escalate_above": 0.8}, author="bob").version == 1
    assert policies.set("acme", {"escalate_above": 0.8}, author="bob").author == "ann"
    assert len(list(audit.export("acme"))) == 1


UNUSABLE = [
    "",
    "approval_tier: read",
    "[]",
    b"\xff",
    '{"approval_tier": "harmless"}',
    '{"approval_teir": "read"}',
    {"task_force_above": 1.1},
    {"task_force_above": 0.9, "escalate_above": 0.5},
    {"escalate_above": float("nan")},
]


@pytest.mark.parametrize("document", UNUSABLE)
def test_a_document_nobody_can_parse_is_refused(policies: Policies, audit: Audit, document: str):
    with pytest.raises(InvalidRequest, match="policy cannot be used"):
        policies.set("acme", document, author="ann")
    assert policies.current("acme").version == 0
    assert list(audit.export("acme")) == []


def test_an_unknown_tenant_has_no_policy_to_set(policies: Policies):
    with pytest.raises(NotFound):
        policies.set("globex", {"escalate_above": 0.8}, author="ann")


def test_a_stored_document_that_cannot_be_read_allows_nothing(
    policies: Policies, database: Database
):
    policies.set("acme", {"approval_tier": "authority"}, author="ann")
    with database.transaction() as session:
        session.execute(text("""UPDATE policies SET document = '{"approval_tier": "none"}'"""))
    with pytest.raises(Corrupt, match="policy 1"):
        policies.current("acme")


def set_one(url: str, heads: str, threshold: str) -> int:
    database = Database(url)
    policies = Policies(database, Audit(database, b"k" * 32, Path(heads)))
    return policies.set("acme", {"escalate_above": float(threshold)}, author="x").version


def test_policies_set_at_once_get_one_version(
    policies: Policies, database: Database, tmp_path: Path
):
    url = database.url.render_as_string(hide_password=False)
    ended = crowd(4, f"{__name__}:set_one", url, tmp_path / "heads", "0.8")
    assert [e.complained for e in ended if e.status] == []
    assert {e.said for e in ended} == {"1"}
