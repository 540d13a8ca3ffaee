"""Number passages by tenant in commit order, and keep beside each the words it is found by.

Documents and passages are made anew: nothing wrote them before this revision.

Revision ID: 0002_shelves
Revises: 0001_the_ledger
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_shelves"
down_revision = "0001_the_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("passages")
    op.drop_table("documents")
    op.create_table(
        "shelves",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("removals", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="fk_shelves_tenant_tenants"),
        sa.PrimaryKeyConstraint("tenant", name="pk_shelves"),
    )
    _create_documents(sa.String(length=1000))
    op.create_index("ix_documents_tenant_agent_origin", "documents", ["tenant", "agent", "origin"])
    op.create_table(
        "passages",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.String(length=64), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("stop", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("bag", sa.LargeBinary(), nullable=False),
        _of_document(),
        sa.PrimaryKeyConstraint("tenant", "number", name="pk_passages"),
    )
    op.create_index("ix_passages_document", "passages", ["document"])


def downgrade() -> None:
    op.drop_table("passages")
    op.drop_table("documents")
    op.drop_table("shelves")
    _create_documents(sa.Text())
    op.create_index("ix_documents_tenant", "documents", ["tenant"])
    op.create_table(
        "passages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("document", sa.String(length=64), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("stop", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        _of_document(),
        sa.PrimaryKeyConstraint("id", name="pk_passages"),
        sa.UniqueConstraint("document", "start", name="uq_passages_document_start"),
    )
    op.create_index("ix_passages_document", "passages", ["document"])
    op.create_index("ix_passages_tenant", "passages", ["tenant"])


def _create_documents(origin: sa.types.TypeEngine[str]) -> None:
    op.create_table(
        "documents",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("category", sa.String(length=64), nullable=False),
        sa.Column("source_type", sa.String(length=16), nullable=False),
        sa.Column("provenance", sa.String(length=16), nullable=False),
        sa.Column("origin", origin, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "provenance IN ('trusted', 'untrusted')", name=op.f("ck_documents_provenance")
        ),
        sa.CheckConstraint(
            "source_type IN ('conversation', 'tool_output', 'document', 'observation', 'external')",
            name=op.f("ck_documents_source_type"),
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="fk_documents_tenant_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        sa.UniqueConstraint(
            "tenant", "agent", "content_hash", name="uq_documents_tenant_agent_content_hash"
        ),
    )


def _of_document() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["document"],
        ["documents.id"],
        name="fk_passages_document_documents",
        ondelete="CASCADE",
    )
