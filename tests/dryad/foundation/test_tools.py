"""Nothing may be called that was not registered, granted and still is."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from dryad.foundation.approval_rules import Act, Requirement
from dryad.foundation.database import Database
from dryad.foundation.database.models import CATEGORIES, TenantRow, ToolRow
from dryad.foundation.errors import Conflict, Corrupt, InvalidRequest, NotFound, Refused
from dryad.foundation.ids import TenantId
from dryad.foundation.policies import PolicyDocument
from dryad.foundation.seal import Seal
from dryad.foundation.tools import Permit, Tier, Tools, ToolSpec

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

PAY = ToolSpec(
    name="pay",
    version="1",
    description="Pay an amount.",
    tier="reversible",
    input_schema={
        "type": "object",
        "properties": {"amount": {"type": "integer"}, "to": {"type": "string"}},
        "required": ["amount"],
        "additionalProperties": False,
    },
    config={
        "raises": [{"when": {"properties": {"amount": {"minimum": 1000}}}, "tier": "authority"}]
    },
)


@dataclass
class Policy:
    """A policy whose tier a test changes as it goes."""

    approval_tier: Tier = "external"
    version: int = 0
    untrusted_needs: str = "approval"
    secret_providers: tuple[str, ...] = ()

    def judge(self, act: Act) -> Requirement:
        return PolicyDocument(approval_tier=self.approval_tier).judge(act)


@dataclass
class Present:
    """A clock somebody sets."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Heard:
    """A trail that keeps what it was told."""

    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def append(self, tenant, event, *, actor, subject, data, session=None) -> int:
        assert session is not None
        self.events.append((event, subject, data))
        return len(self.events)


@pytest.fixture
def clock() -> Present:
    return Present()


@pytest.fixture
def trail() -> Heard:
    return Heard()


@pytest.fixture
def tools(database: Database, clock: Present, trail: Heard) -> Tools:
    with database.transaction() as session:
        for tenant in (ACME, GLOBEX):
            session.add(TenantRow(id=tenant, name=tenant, status="active", created=NOW))
    return Tools(database, clock, trail)


def ask(tools: Tools, arguments: Any = None, *, tenant: TenantId = ACME, **more: Any) -> Permit:
    more = {"policy": Policy(), **more}
    return tools.permit(tenant, "clerk", "pay", arguments or {"amount": 5}, **more)


def test_a_granted_call_is_permitted_with_exactly_its_canonical_arguments(tools: Tools):
    tools.register(ACME, PAY)
    tools.grant(ACME, "clerk", "pay")
    permit = ask(tools, {"to": "bob", "amount": 5})
    assert permit.arguments == {"amount": 5, "to": "bob"}
    assert (permit.spec.version, permit.tier, permit.needs_approval) == ("1", "reversible", False)


def test_everything_that_was_not_allowed_is_refused_with_its_reason(tools: Tools, clock: Present):
    with pytest.raises(Refused, match="no tool 'pay'"):
        ask(tools)
    tools.register(ACME, PAY)
    with pytest.raises(Refused, match="clerk has no grant for pay"):
        ask(tools)
    tools.grant(ACME, "clerk", "pay", expires=NOW + timedelta(hours=1))
    assert ask(tools).spec.name == "pay"
    with pytest.raises(Refused, match="no tool 'pay'"):
        ask(tools, tenant=GLOBEX)
    with pytest.raises(Refused, match="no policy"):
        ask(tools, policy=None)
    clock.now += timedelta(hours=1)
    with pytest.raises(Refused, match="expired"):
        ask(tools)
    tools.grant(ACME, "clerk", "pay")
    for status in ("inactive", "maintenance", "deprecated"):
        tools.set_status(ACME, "pay", "1", status)
        with pytest.raises(Refused, match=f"pay 1 is {status}"):
            ask(tools)
    tools.set_status(ACME, "pay", "1", "active")
    tools.revoke(ACME, "clerk", "pay")
    with pytest.raises(Refused, match="no grant"):
        ask(tools)


def test_a_grant_to_a_role_counts_for_its_members_alone(tools: Tools):
    tools.register(ACME, PAY)
    tools.grant(ACME, "cashier", "pay", principal_type="role")
    assert ask(tools, role="cashier").spec.name == "pay"
    for role in ("", "guest"):
        with pytest.raises(Refused, match="no grant"):
            ask(tools, role=role)
    with pytest.raises(Refused, match="no grant"):  # an agent named like the role is not the role
        tools.permit(ACME, "cashier", "pay", {"amount": 1}, policy=Policy())


def test_conditions_narrow_a_grant(tools: Tools):
    tools.register(ACME, PAY)
    limit = {"arguments": {"properties": {"amount": {"maximum": 10}}}, "versions": ["1"]}
    tools.grant(ACME, "clerk", "pay", conditions=limit)
    assert ask(tools, {"amount": 10}).tier == "reversible"
    with pytest.raises(Refused, match="amount: 11 is greater"):
        ask(tools, {"amount": 11})
    tools.register(ACME, replace(PAY, version="2"))
    tools.set_status(ACME, "pay", "1", "deprecated")
    with pytest.raises(Refused, match="does not cover pay 2"):
        ask(tools)
    with pytest.raises(InvalidRequest, match="not colour"):
        tools.grant(ACME, "clerk", "pay", conditions={"colour": "red"})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"amount": "5"}, "amount: '5' is not of type"),
        ({"to": "x"}, "'amount' is a required property"),
        ({"amount": 1, "extra": 1}, "extra"),
        ({"amount": 10**30}, "not plain JSON"),
        ({"amount": 1, "to": "\ud800"}, "not plain JSON"),
        ([1], "is not of type 'object'"),
    ],
)
def test_arguments_the_tool_cannot_take_are_invalid(tools: Tools, arguments: Any, why: str):
    tools.register(ACME, PAY)
    tools.grant(ACME, "clerk", "pay")
    with pytest.raises(InvalidRequest, match=why):
        ask(tools, arguments)


def test_risk_is_the_highest_of_tool_arguments_and_what_was_read(tools: Tools):
    tools.register(ACME, PAY)
    tools.register(ACME, replace(PAY, name="mail", tier="external", config={}))
    for name in ("pay", "mail"):
        tools.grant(ACME, "clerk", name)
    large = ask(tools, {"amount": 1000})
    assert (large.tier, large.needs_approval) == ("authority", True)
    lenient = Policy("authority")
    mail = tools.permit(ACME, "clerk", "mail", {"amount": 1}, policy=lenient)
    assert not mail.needs_approval
    tainted = tools.permit(ACME, "clerk", "mail", {"amount": 1}, policy=lenient, untrusted=True)
    assert tainted.needs_approval
    assert not ask(tools, policy=lenient, untrusted=True).needs_approval


def test_a_version_never_changes_and_the_newest_active_one_is_called(tools: Tools, clock: Present):
    tools.register(ACME, PAY)
    with pytest.raises(Conflict, match="pay 1"):
        tools.register(ACME, replace(PAY, description="Another."))
    assert tools.get(ACME, "pay").description == "Pay an amount."
    clock.now += timedelta(seconds=1)
    tools.register(ACME, replace(PAY, version="2"))
    assert [spec.version for spec in tools.list(ACME)] == ["2", "1"]
    assert tools.get(ACME, "pay").version == "2"
    assert tools.get(ACME, "pay", "1").version == "1"
    tools.set_status(ACME, "pay", "2", "deprecated")
    assert tools.get(ACME, "pay").version == "1"
    with pytest.raises(NotFound):
        tools.get(ACME, "pay", "3")
    with pytest.raises(NotFound):
        tools.get(GLOBEX, "pay")
    with pytest.raises(NotFound, match="no tenant"):
        tools.register(TenantId("nobody"), PAY)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "Pay!"}, "name"),
        ({"version": ""}, "version"),
        ({"tier": "harmless"}, "no risk tier"),
        ({"input_schema": {"type": "array"}}, "must describe an object"),
        ({"input_schema": {"type": 7}}, "not a JSON Schema"),
        ({"output_schema": {"$ref": "http://elsewhere/x"}}, "refers to another document"),
        ({"kind": "script"}, "'code' is a required"),
        ({"config": {"raises": 5}}, "must be a list"),
        ({"config": {"raises": [{"tier": "read"}]}}, "'when' is a required"),
        ({"config": {"raises": [{"tier": "none", "when": {}}]}}, "none"),
    ],
)
def test_a_tool_that_could_not_be_checked_is_not_registered(tools: Tools, change: Any, why: str):
    with pytest.raises(InvalidRequest, match=why):
        tools.register(ACME, replace(PAY, **change))
    assert tools.list(ACME) == []


def test_a_model_is_shown_what_its_agent_may_call_and_nothing_else(tools: Tools, clock: Present):
    for name in ("a", "b", "c", "d", "e"):
        tools.register(ACME, replace(PAY, name=name))
    tools.grant(ACME, "clerk", "a")
    tools.grant(ACME, "clerk", "b", expires=NOW + timedelta(hours=1))
    tools.grant(ACME, "clerk", "c")
    tools.set_status(ACME, "c", "1", "maintenance")
    tools.grant(ACME, "cashier", "d", principal_type="role")
    names = [spec.name for spec in tools.offered(ACME, "clerk", role="cashier")]
    assert names == ["a", "b", "d"]
    clock.now += timedelta(hours=2)
    assert [spec.name for spec in tools.offered(ACME, "clerk")] == ["a"]
    assert tools.offered(GLOBEX, "clerk") == []


def test_changes_are_audited_without_the_secrets_of_a_configuration(tools: Tools, trail: Heard):
    tools.register(ACME, PAY, by="ann")
    tools.configure(ACME, "pay", "1", {"url": "https://hook/secret"})
    assert tools.get(ACME, "pay").config == {"url": "https://hook/secret"}
    tools.grant(ACME, "clerk", "pay")
    tools.revoke(ACME, "clerk", "pay")
    tools.set_status(ACME, "pay", "1", "inactive")
    assert [event for event, _, _ in trail.events] == [
        "tool_registered", "tool_configured", "tool_granted", "tool_revoked", "tool_status_changed",
    ]  # fmt: skip
    assert "secret" not in str(trail.events)
    assert "secret" not in repr(tools.get(ACME, "pay"))


def test_granting_twice_replaces_and_provisioning_twice_changes_nothing(tools: Tools):
    tools.provision(ACME, [PAY])
    tools.configure(ACME, "pay", "1", {"url": "x"})
    tools.provision(ACME, [PAY])
    assert tools.get(ACME, "pay").config == {"url": "x"}
    tools.grant(ACME, "clerk", "pay", expires=NOW + timedelta(days=1))
    tools.grant(ACME, "clerk", "pay", by="ann")
    (grant,) = tools.grants(ACME, principal="clerk")
    assert (grant.expires, grant.created_by) == (None, "ann")
    with pytest.raises(NotFound):
        tools.grant(ACME, "clerk", "unknown")
    with pytest.raises(InvalidRequest, match="past"):
        tools.grant(ACME, "clerk", "pay", expires=NOW)


def test_what_the_policys_rules_do_not_allow_is_refused_by_the_kind_of_action(tools: Tools):
    tools.register(ACME, PAY)
    tools.grant(ACME, "clerk", "pay")
    tools.configure(ACME, "pay", "1", {"action": "financial_transaction"})
    rules = PolicyDocument.model_validate(
        {"rules": [{"actions": ["financial_transaction"], "need": "two"}]}
    )
    permit = ask(tools, policy=Versioned(rules))
    assert (permit.needs_approval, permit.policy_version) == (True, 4)
    tools.configure(ACME, "pay", "1", {})
    with pytest.raises(Refused, match="no rule"):
        ask(tools, policy=Versioned(rules))
    with pytest.raises(InvalidRequest, match=r"config\.action"):
        tools.configure(ACME, "pay", "1", {"action": "Pay!"})


@dataclass
class Versioned:
    """A document in force as version 4."""

    document: PolicyDocument
    version: int = 4
    untrusted_needs: str = "approval"
    secret_providers: tuple[str, ...] = ()

    def judge(self, act: Act) -> Requirement:
        return self.document.judge(act)


def test_a_tool_has_one_of_eighteen_categories(tools: Tools):
    assert len(CATEGORIES) == 18
    assert tools.register(ACME, PAY).category == "analysis"
    script = replace(PAY, name="sum", kind="script", config={"code": "print(1)"})
    assert tools.register(ACME, script).category == "code_execution"
    assert tools.register(ACME, replace(PAY, version="2", category="llm")).category == "llm"
    assert [spec.version for spec in tools.list(ACME, category="llm")] == ["2"]
    with pytest.raises(InvalidRequest, match="category is one of database, api"):
        tools.register(ACME, replace(PAY, version="3", category="gardening"))  # pyright: ignore[reportArgumentType]


def test_what_a_version_is_for_may_be_said_anew(tools: Tools, trail: Heard):
    tools.register(ACME, PAY)
    changed = tools.describe(ACME, "pay", "1", description="Pay a bill.", category="api")
    assert changed == tools.get(ACME, "pay") == replace(changed, name="pay", version="1")
    assert (changed.description, changed.category) == ("Pay a bill.", "api")
    assert changed.input_schema == PAY.input_schema
    assert trail.events[-1][0] == "tool_described"
    mcp = {"server": "shop", "tool": "add"}
    tools.discovered(ACME, [replace(PAY, name="add", kind="mcp", config=mcp, status="inactive")])
    with pytest.raises(Conflict, match="described by its server"):
        tools.describe(ACME, "add", "1", description="Harmless.")


def test_a_deleted_version_is_gone_and_its_name_never_means_another(tools: Tools):
    script = replace(PAY, kind="script", config={"code": "print(1)"})
    tools.register(ACME, script)
    tools.register(ACME, replace(script, version="2"))
    tools.register(GLOBEX, script)
    tools.grant(ACME, "clerk", "pay")
    tools.delete(ACME, "pay", "2")
    assert [spec.version for spec in tools.list(ACME)] == ["1"]
    assert ask(tools).spec.version == "1"
    tools.delete(ACME, "pay", "1")
    with pytest.raises(Refused, match="no tool 'pay'"):
        ask(tools)
    for attempt in (
        lambda: tools.get(ACME, "pay"),
        lambda: tools.delete(ACME, "pay", "1"),
        lambda: tools.grant(ACME, "clerk", "pay"),
        lambda: tools.set_status(ACME, "pay", "1", "active"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert tools.grants(ACME) == tools.offered(ACME, "clerk") == []
    with pytest.raises(Conflict, match="is or was registered"):
        tools.register(ACME, replace(script, config={"code": "print(2)"}))
    assert tools.get(GLOBEX, "pay").version == "1"


def test_what_is_built_in_is_not_deleted(tools: Tools):
    tools.register(ACME, PAY)
    with pytest.raises(Conflict, match="built in"):
        tools.delete(ACME, "pay", "1")


def test_a_configuration_is_not_readable_in_the_ledger(database: Database, tools: Tools):
    sealed = Tools(database, seal=Seal(b"k" * 32, "tools"))
    letter = {"url": "https://example.org/?key=planted-4711"}
    tools.register(ACME, replace(PAY, name="old", config=letter))  # as an earlier DRYAD did
    sealed.register(ACME, replace(PAY, name="new", config=letter))
    sealed.configure(ACME, "new", "1", letter)

    def readable() -> set[str]:
        with database.reading() as session:
            rows = session.execute(select(ToolRow.name, ToolRow.config)).all()
        return {name for name, config in rows if "planted-4711" in str(config)}

    assert readable() == {"old"}
    assert sealed.get(ACME, "old").config == sealed.get(ACME, "new").config == letter
    assert (sealed.seal_all(), sealed.seal_all()) == (1, 0)
    assert readable() == set()
    assert sealed.get(ACME, "old").config == letter
    for stranger in (Seal(b"x" * 32, "tools"), Seal(b"k" * 32, "other")):
        with pytest.raises(Corrupt, match="cannot be opened"):
            Tools(database, seal=stranger).get(ACME, "old")
    with database.transaction() as session:  # one row's configuration put into another's
        rows = {row.name: row for row in session.scalars(select(ToolRow))}
        rows["new"].config = rows["old"].config
    with pytest.raises(Corrupt):
        sealed.get(ACME, "new")
