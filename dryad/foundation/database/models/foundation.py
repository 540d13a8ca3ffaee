"""Tables of level 0: the installation, who may ask, tools, and what was decided."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from dryad.foundation.database.models.columns import Base, Serial, one_of


class InstallationRow(Base):
    """One fact about this installation: `epoch`, `adapters`, `first_started`."""

    __tablename__ = "installation"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[dict[str, Any]]
    updated: Mapped[datetime]


class TenantRow(Base):
    """Whose data it is. Every row of a tenant carries its id."""

    __tablename__ = "tenants"
    __table_args__ = (one_of("status", "active", "closed"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime]


class ApiKeyRow(Base):
    """A bearer key, found by id and compared by peppered digest; the key itself is never stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), index=True)
    name: Mapped[str]
    scopes: Mapped[list[Any]]
    digest: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime]
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]
    last_used: Mapped[datetime | None]


class AuditRow(Base):
    """One link of a tenant's audit chain; `mac` covers the row and `previous`."""

    __tablename__ = "audit"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str]
    event: Mapped[str] = mapped_column(String(64), index=True)
    subject: Mapped[str]
    data: Mapped[dict[str, Any]]
    previous: Mapped[str] = mapped_column(String(64))
    mac: Mapped[str] = mapped_column(String(64))


class LeaseRow(Base):
    """Which process carries a run now: the latest attempt, and until when it is believed."""

    __tablename__ = "leases"

    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempt: Mapped[int]
    holder: Mapped[str]
    expires: Mapped[datetime] = mapped_column(index=True)
    released: Mapped[datetime | None]


class StepRow(Base):
    """What already happened in a run: the intent before an effect, the outcome after it."""

    __tablename__ = "steps"
    __table_args__ = (one_of("state", "intended", "done", "doubtful"),)

    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    path: Mapped[str] = mapped_column(String(200), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    outcome: Mapped[dict[str, Any] | None]
    started: Mapped[datetime]
    finished: Mapped[datetime | None]


class PolicyRow(Base):
    """One version of a tenant's policy; the highest version is in force."""

    __tablename__ = "policies"

    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    author: Mapped[str]
    created: Mapped[datetime]


class StopRow(Base):
    """A kill switch in force until lifted. Scope: `global`, `tenant:x`, `agent:x`, `tool:x`, …"""

    __tablename__ = "stops"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    scope: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str]
    set_by: Mapped[str]
    set_at: Mapped[datetime]
    lifted_by: Mapped[str | None]
    lifted_at: Mapped[datetime | None] = mapped_column(index=True)


class BudgetRow(Base):
    """One resource of one account: what may be used, was used, and is held by steps under way."""

    __tablename__ = "budgets"

    account: Mapped[str] = mapped_column(String(300), primary_key=True)
    """`tenant`, `tenant/project:x`, `tenant/task:x` or `tenant/task:x/agent:y`."""
    resource: Mapped[str] = mapped_column(String(16), primary_key=True)
    cap: Mapped[int | None] = mapped_column(BigInteger)
    """In whole units: millionths of a dollar, milliseconds, else the thing itself; NULL: no limit.
    """
    spent: Mapped[int] = mapped_column(BigInteger)
    reserved: Mapped[int] = mapped_column(BigInteger)
    period: Mapped[int | None]
    """How many times 30 days since 1970 `spent` counts for; NULL: for ever."""


class ReservationRow(Base):
    """What one step holds of its accounts until it is settled."""

    __tablename__ = "reservations"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    accounts: Mapped[list[Any]]
    amounts: Mapped[dict[str, Any]]
    reserved_at: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)
    """Charged in full when nobody settled it by then."""
    settled: Mapped[datetime | None] = mapped_column(index=True)


CATEGORIES = (
    "database", "api", "file_system", "powershell", "bash", "analysis", "communication", "search",
    "code_execution", "monitoring", "educational", "research", "content_creation", "assessment",
    "llm", "web_scraping", "data_processing", "visualization",
)  # fmt: skip


class ToolRow(Base):
    """One version of a tool; name, version and schemas never change once stored."""

    __tablename__ = "tools"
    __table_args__ = (
        one_of("category", *CATEGORIES),
        one_of("status", "active", "inactive", "maintenance", "deprecated"),
        one_of("tier", "read", "reversible", "irreversible", "external", "authority"),
    )

    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[str] = mapped_column(String(32), primary_key=True)
    description: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    category: Mapped[str] = mapped_column(String(32))
    tier: Mapped[str] = mapped_column(String(16))
    idempotent: Mapped[bool]
    input_schema: Mapped[dict[str, Any]]
    output_schema: Mapped[dict[str, Any]]
    config: Mapped[dict[str, Any]]
    """Sealed: `{"sealed": …}`; what an administrator set may hold a key."""
    status: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime]
    deleted: Mapped[datetime | None]
    """Since when nobody sees it; its name and version are never given again."""


class GrantRow(Base):
    """An agent (or role) may call a tool, in a scope, until it expires."""

    __tablename__ = "grants"
    __table_args__ = (
        one_of("principal_type", "agent", "role"),
        UniqueConstraint("tenant", "principal", "principal_type", "tool"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    principal: Mapped[str] = mapped_column(String(64))
    principal_type: Mapped[str] = mapped_column(String(8))
    tool: Mapped[str] = mapped_column(String(64))
    conditions: Mapped[dict[str, Any]]
    created_by: Mapped[str]
    created: Mapped[datetime]
    expires: Mapped[datetime | None]


class ExecutionRow(Base):
    """One call of a tool: who made it, how it ended, how long it took."""

    __tablename__ = "tool_executions"
    __table_args__ = (
        one_of("outcome", "running", "done", "failed", "refused", "doubtful"),
        UniqueConstraint("tenant", "run", "step"),
        Index("ix_tool_executions_tenant_tool", "tenant", "tool", "id"),
        Index("ix_tool_executions_tenant_session", "tenant", "session"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    session: Mapped[str] = mapped_column(String(16))
    """All calls of one tool by one agent on one task."""
    task: Mapped[str] = mapped_column(String(64))
    run: Mapped[str] = mapped_column(String(64))
    """The run whose step it was; '' when somebody called the tool directly."""
    step: Mapped[str] = mapped_column(String(300))
    agent: Mapped[str] = mapped_column(String(64))
    tool: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(32))
    """'' when no version was permitted."""
    digest: Mapped[str] = mapped_column(String(64))
    """Of tool and arguments, as the journal has it."""
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    started: Mapped[datetime] = mapped_column(index=True)
    seconds: Mapped[float | None]


class VolumeRow(Base):
    """What a stateful tool keeps between the calls of one session: a directory of files."""

    __tablename__ = "volumes"
    __table_args__ = (
        one_of("status", "active", "orphaned", "sanitised", "deleted"),
        Index("ix_volumes_status_used", "status", "used"),
    )

    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    session: Mapped[str] = mapped_column(String(16), primary_key=True)
    task: Mapped[str] = mapped_column(String(64), index=True)
    agent: Mapped[str] = mapped_column(String(64))
    tool: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime]
    used: Mapped[datetime]
    sanitised: Mapped[datetime | None]
    deleted: Mapped[datetime | None]


class HealthRow(Base):
    """The newest measurement of one component, taken by the keeper."""

    __tablename__ = "health"
    __table_args__ = (one_of("status", "healthy", "degraded", "unhealthy"),)

    component: Mapped[str] = mapped_column(String(32), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    latency_ms: Mapped[float]
    measured: Mapped[datetime]
