"""Tables of level 3: tasks, decisions, questions, forces."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from dryad.foundation.database.models.columns import Base, Serial, one_of

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
    policy_version: Mapped[int]
    needs: Mapped[dict[str, Any]]
    """`{approvers, role, why, raised}`: what the policy wanted when it was asked."""
    edited: Mapped[dict[str, Any] | None]
    """Arguments a reviewer put in place of those asked about; the next ones decide on these."""
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
    valid_until: Mapped[datetime | None]
    """An approval not used by then is asked for again."""
    seal: Mapped[str | None] = mapped_column(String(64))
    """Keyed code of exactly the call that was allowed; without it nothing is."""
    woken: Mapped[datetime | None]
    """When the waiting run was seen to have gone on."""
    reminded: Mapped[datetime | None]
    """When it was said that its time is nearly over."""
    created: Mapped[datetime]
    due: Mapped[datetime]
    closed: Mapped[datetime | None]


class CaseMessageRow(Base):
    """What somebody said about a question before it was decided."""

    __tablename__ = "case_messages"

    case: Mapped[int] = mapped_column(
        Serial, ForeignKey("cases.id"), primary_key=True, autoincrement=False
    )
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sender: Mapped[str]
    text: Mapped[str]
    at: Mapped[datetime]


class VoteRow(Base):
    """What one reviewer said about a case, once for each version of what would happen."""

    __tablename__ = "votes"
    __table_args__ = (one_of("decision", "approve", "reject", "edit", "reply"),)

    case: Mapped[int] = mapped_column(
        Serial, ForeignKey("cases.id"), primary_key=True, autoincrement=False
    )
    approver: Mapped[str] = mapped_column(String(200), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of exactly what was decided on, with the edited arguments."""
    decision: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str]
    via: Mapped[str] = mapped_column(String(8))
    proof: Mapped[str] = mapped_column(String(16))
    """How it is known who it was: `one-time`, `decision`, or `none` in single-user mode."""
    at: Mapped[datetime] = mapped_column(index=True)


class ReviewerRow(Base):
    """A person who may answer: known by a code that only their own device makes."""

    __tablename__ = "reviewers"
    __table_args__ = (one_of("status", "active", "suspended"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    roles: Mapped[list[Any]]
    tenants: Mapped[list[Any]]
    """Ids of the tenants whose questions they may answer; `["*"]`: all."""
    keys: Mapped[list[Any]]
    """Ids of the API keys this person works with: who asked with one never approves it."""
    seed: Mapped[bytes]
    """The seed of the codes, sealed with the review secret and bound to the id."""
    last_step: Mapped[int] = mapped_column(BigInteger)
    """The newest time step whose code was used: none is good twice."""
    failures: Mapped[int]
    """Wrong codes since the last right one."""
    wait_until: Mapped[datetime | None]
    """Until then no code of theirs is looked at."""
    status: Mapped[str] = mapped_column(String(16))
    created_by: Mapped[str]
    created: Mapped[datetime]


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
