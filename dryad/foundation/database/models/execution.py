"""Tables of level 1: agents."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from dryad.foundation.database.models.columns import Base, one_of


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
    cost_usd: Mapped[float] = mapped_column(default=0.0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    """Working time of all its runs."""
    created: Mapped[datetime]
