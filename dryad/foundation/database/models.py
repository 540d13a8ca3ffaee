"""Every table of the ledger. What a column means is said here and nowhere else.

Times are aware UTC. JSON columns hold only what `canonical_json` can write. A change here needs a
migration; `dryad db check` and a test compare the two.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An aware UTC time on both databases; a naive one is a mistake."""

    impl = SqlDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse naive times and store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without its zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give SQLite's naive times their zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Serial = BigInteger().with_variant(Integer(), "sqlite")
"""An auto-incrementing key; SQLite only increments INTEGER."""


class Base(DeclarativeBase):
    """All tables, with constraint names a migration can refer to."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a class attribute
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        datetime: Instant,
        str: Text,
        bytes: LargeBinary,
    }


def one_of(column: str, *values: str) -> CheckConstraint:
    """Constrain a text column to a closed set of values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


# --- level 0: the installation, who may ask, and what was decided ------------------------------


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


class ToolRow(Base):
    """One version of a tool; name, version and schemas never change once stored."""

    __tablename__ = "tools"
    __table_args__ = (
        one_of("status", "active", "inactive", "maintenance", "deprecated"),
        one_of("tier", "read", "reversible", "irreversible", "external", "authority"),
    )

    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[str] = mapped_column(String(32), primary_key=True)
    description: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    tier: Mapped[str] = mapped_column(String(16))
    idempotent: Mapped[bool]
    input_schema: Mapped[dict[str, Any]]
    output_schema: Mapped[dict[str, Any]]
    config: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime]


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


class HealthRow(Base):
    """The newest measurement of one component, taken by the keeper."""

    __tablename__ = "health"
    __table_args__ = (one_of("status", "healthy", "degraded", "unhealthy"),)

    component: Mapped[str] = mapped_column(String(32), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    latency_ms: Mapped[float]
    measured: Mapped[datetime]


# --- level 1: agents ---------------------------------------------------------------------------


class AgentRow(Base):
    """An agent of a tenant: what it can do, and how it did."""

    __tablename__ = "agents"
    __table_args__ = (one_of("status", "active", "inactive", "maintenance", "error"),)

    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    role: Mapped[str] = mapped_column(String(64))
    goal: Mapped[str]
    instructions: Mapped[str]
    capabilities: Mapped[dict[str, Any]]
    """Capability name → proficiency in [0, 1]."""
    model: Mapped[dict[str, Any]]
    """`{provider, model}`; empty: the installation's."""
    status: Mapped[str] = mapped_column(String(16))
    runs: Mapped[int] = mapped_column(default=0)
    successes: Mapped[int] = mapped_column(default=0)
    tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    created: Mapped[datetime]


# --- level 2: memory ---------------------------------------------------------------------------


class RecentRow(Base):
    """One short-term value of one agent, until it expires."""

    __tablename__ = "recent"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    agent: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[dict[str, Any]]
    """`{value, provenance}`."""
    expires: Mapped[datetime] = mapped_column(index=True)
    updated: Mapped[datetime]


class ShelfRow(Base):
    """How far a tenant's long-term memory has grown; every writer of it locks this row first.

    So passages are numbered in the order their transactions commit, and a reader who knows both
    numbers knows whether anything changed.
    """

    __tablename__ = "shelves"

    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    written: Mapped[int] = mapped_column(BigInteger)
    """The highest passage number ever given."""
    removals: Mapped[int] = mapped_column(BigInteger)
    """How often passages were taken away."""


class DocumentRow(Base):
    """Something that was ingested or noted; its passages are what is searched."""

    __tablename__ = "documents"
    __table_args__ = (
        one_of("source_type", "conversation", "tool_output", "document", "observation", "external"),
        one_of("provenance", "trusted", "untrusted"),
        UniqueConstraint("tenant", "agent", "content_hash"),
        Index("ix_documents_tenant_agent_origin", "tenant", "agent", "origin"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    agent: Mapped[str] = mapped_column(String(64))
    """Whose it is; '' is the whole tenant's."""
    category: Mapped[str] = mapped_column(String(64))
    source_type: Mapped[str] = mapped_column(String(16))
    provenance: Mapped[str] = mapped_column(String(16))
    origin: Mapped[str] = mapped_column(String(1000))
    """Path or address it came from."""
    title: Mapped[str]
    content_hash: Mapped[str] = mapped_column(String(64))
    details: Mapped[dict[str, Any]]
    created: Mapped[datetime]
    deleted: Mapped[datetime | None]


class PassageRow(Base):
    """A citable piece of a document: section and character range `[start, stop)`."""

    __tablename__ = "passages"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Unique within the tenant, ascending in commit order, never given twice."""
    document: Mapped[str] = mapped_column(
        String(64), ForeignKey("documents.id", ondelete="CASCADE"), index=True
    )
    section: Mapped[str]
    start: Mapped[int]
    stop: Mapped[int]
    text: Mapped[str]
    length: Mapped[int]
    """Length in words, with title and section."""
    bag: Mapped[bytes]
    """The words it is found by; see `dryad.memory.words`."""
    embedder: Mapped[str | None] = mapped_column(String(64))
    """Name of the model that made `vector`; None: no vector yet."""
    vector: Mapped[bytes | None]
    """Direction of its meaning: one signed byte a dimension, of any length."""


# --- level 3: tasks, decisions, questions ------------------------------------------------------

TASK_STATUSES = (
    "submitted", "running", "waiting", "done", "refused", "rejected", "expired", "failed",
    "cancelled", "superseded", "held",
)  # fmt: skip


class TaskRow(Base):
    """What somebody asked for; the truth about how it stands and how it ended."""

    __tablename__ = "tasks"
    __table_args__ = (
        one_of("status", *TASK_STATUSES),
        UniqueConstraint("tenant", "idempotency_key"),
        Index("ix_tasks_tenant_created", "tenant", "created"),
        Index("ix_tasks_status_created", "status", "created"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    text: Mapped[str]
    context: Mapped[dict[str, Any]]
    agent: Mapped[str] = mapped_column(String(64))
    """Agent named by the requester; '' lets the decision engine choose."""
    budget: Mapped[dict[str, Any]]
    """`{tokens, cost_usd}`: narrower than the installation's limits."""
    requester: Mapped[str]
    idempotency_key: Mapped[str] = mapped_column(String(200))
    request_digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    result: Mapped[dict[str, Any] | None]
    """`{answer, citations, degraded, …}` once done."""
    run: Mapped[str | None] = mapped_column(String(64), index=True)
    tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cost_usd: Mapped[float] = mapped_column(default=0.0)
    created: Mapped[datetime]
    updated: Mapped[datetime]
    finished: Mapped[datetime | None]


class DecisionRow(Base):
    """Who does a task, and why."""

    __tablename__ = "decisions"
    __table_args__ = (one_of("route", "sequential", "task_force", "escalation"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    task: Mapped[str] = mapped_column(String(64), ForeignKey("tasks.id"), unique=True)
    route: Mapped[str] = mapped_column(String(16))
    score: Mapped[float]
    tier: Mapped[str] = mapped_column(String(16))
    """Highest risk tier of the tools the plan would use."""
    reasons: Mapped[list[Any]]
    assessment: Mapped[dict[str, Any]]
    """Score by dimension, the plan, thresholds, and what would have changed the decision."""
    policy_version: Mapped[int]
    created: Mapped[datetime] = mapped_column(index=True)


class CaseRow(Base):
    """A question to a person, bound to exactly what would happen on yes."""

    __tablename__ = "cases"
    __table_args__ = (
        one_of("status", "pending", "in_progress", "resolved", "expired", "cancelled", "held"),
        one_of("kind", "approval", "guidance", "clarification", "escalation"),
        UniqueConstraint("run", "member", "ordinal", "digest"),
        Index("ix_cases_tenant_status", "tenant", "status"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    task: Mapped[str] = mapped_column(String(64), ForeignKey("tasks.id"), index=True)
    run: Mapped[str] = mapped_column(String(64))
    member: Mapped[str] = mapped_column(String(64))
    ordinal: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(16))
    tier: Mapped[str] = mapped_column(String(16))
    question: Mapped[dict[str, Any]]
    """`{title, why, action, call, origin, limits}`: what the brief is made from."""
    requester: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    round: Mapped[int]
    """The form now open is `q<id>-<round>`; no round is asked twice."""
    judged: Mapped[int]
    """The last round whose stored answer was looked at."""
    verdict: Mapped[dict[str, Any] | None]
    """`{decision, reason, reply, edited_arguments, by, via, at}`; written once."""
    refusal: Mapped[str]
    """Why the last answer was not accepted; shown in the next round."""
    used_by: Mapped[str | None]
    """The step that spent the approval; at most one ever does."""
    woken: Mapped[datetime | None]
    """When the waiting run was seen to have gone on."""
    created: Mapped[datetime]
    due: Mapped[datetime]
    closed: Mapped[datetime | None]


class ForceRow(Base):
    """A task force: several agents on one task."""

    __tablename__ = "forces"
    __table_args__ = (one_of("status", "active", "paused", "resolved", "failed"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    task: Mapped[str] = mapped_column(String(64), ForeignKey("tasks.id"), unique=True)
    objective: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    result: Mapped[dict[str, Any] | None]
    created: Mapped[datetime]
    closed: Mapped[datetime | None]


class ForceMemberRow(Base):
    """An agent's seat in a force: the branch of the plan it works on."""

    __tablename__ = "force_members"

    force: Mapped[str] = mapped_column(
        String(64), ForeignKey("forces.id", ondelete="CASCADE"), primary_key=True
    )
    member: Mapped[str] = mapped_column(String(64), primary_key=True)
    agent: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(64))


class ForceMessageRow(Base):
    """One message between members, in order."""

    __tablename__ = "force_messages"
    __table_args__ = (
        one_of(
            "kind", "proposal", "critique", "refinement", "agreement", "question", "answer"
        ),
        ForeignKeyConstraint(
            ["force", "member"], ["force_members.force", "force_members.member"],
            ondelete="CASCADE",
        ),
    )  # fmt: skip

    force: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    member: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    content: Mapped[dict[str, Any]]
    created: Mapped[datetime]
