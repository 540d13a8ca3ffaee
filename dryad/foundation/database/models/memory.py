"""Tables of levels 1 and 2: what is remembered."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from dryad.foundation.database.models.columns import Base, Serial, one_of


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
    sequence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The outbox row of its last change, by which a mirror tells new from old; 0: had no mirror."""


class MirrorRow(Base):
    """How far a mirror of the ledger may be believed; every process obeys."""

    __tablename__ = "mirrors"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    """`recent` (Redis) or `index` (Chroma)."""
    generation: Mapped[int]
    """Which copy: it is part of every name in the mirror, so that an older copy is never met."""
    trusted: Mapped[str] = mapped_column(String(64))
    """The server, or the model, whose copy is complete; '': none is, and nobody reads it."""
    reason: Mapped[str]
    """Why it is not trusted; '' when it is."""
    changed: Mapped[datetime]


class OutboxRow(Base):
    """A change of memory that the keeper has yet to see in a mirror."""

    __tablename__ = "outbox"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - never an id twice: ids order changes

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    mirror: Mapped[str] = mapped_column(String(16), index=True)
    tenant: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(String(64))
    """The agent, of a short-term value; '' of a document."""
    key: Mapped[str] = mapped_column(String(200))
    """The key of a short-term value; the id of a document that was taken away."""
    number: Mapped[int] = mapped_column(BigInteger)
    """The highest passage number that went with the document."""
    created: Mapped[datetime]


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
    mirrored: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Passages up to this number are in the mirror, as far as they have a vector of its model."""


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


class BandRow(Base):
    """What a document shares with its near-duplicates; see `dryad.memory.likeness`."""

    __tablename__ = "bands"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    document: Mapped[str] = mapped_column(
        String(64), ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class OriginRow(Base):
    """Where else the words of a document came from; see `dryad.memory.origins`."""

    __tablename__ = "origins"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the origin, which may be too long to be looked up itself."""
    document: Mapped[str] = mapped_column(
        String(64), ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    origin: Mapped[str]


class MemoryPolicyRow(Base):
    """One version of a tenant's policy for memory; the highest version is in force."""

    __tablename__ = "memory_policies"

    tenant: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    author: Mapped[str]
    created: Mapped[datetime]


class RelationRow(Base):
    """How one document stands to another; it goes with either."""

    __tablename__ = "relations"
    __table_args__ = (
        one_of("kind", "references", "contradicts", "supports", "follows", "related"),
        CheckConstraint("source <> target", name="not_itself"),
        CheckConstraint("confidence >= 0 AND confidence <= 1", name="confidence"),
    )

    source: Mapped[str] = mapped_column(
        String(64), ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    target: Mapped[str] = mapped_column(
        String(64), ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    confidence: Mapped[float]
    created: Mapped[datetime]
