"""Keep the policies of memory, and how documents stand to each other.

Revision ID: 0008_memory_policies
Revises: 0007_tool_history
"""

import sqlalchemy as sa
from alembic import op

revision = "0008_memory_policies"
down_revision = "0007_tool_history"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memory_policies",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"], ["tenants.id"], name="fk_memory_policies_tenant_tenants"
        ),
        sa.PrimaryKeyConstraint("tenant", "version", name="pk_memory_policies"),
    )
    op.create_table(
        "relations",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('references', 'contradicts', 'supports', 'follows', 'related')",
            name=op.f("ck_relations_kind"),
        ),
        sa.CheckConstraint("source <> target", name=op.f("ck_relations_not_itself")),
        sa.CheckConstraint(
            "confidence >= 0 AND confidence <= 1", name=op.f("ck_relations_confidence")
        ),
        sa.ForeignKeyConstraint(
            ["source"], ["documents.id"], name="fk_relations_source_documents", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target"], ["documents.id"], name="fk_relations_target_documents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source", "target", "kind", name="pk_relations"),
    )
    op.create_index("ix_relations_target", "relations", ["target"])


def downgrade() -> None:
    op.drop_table("relations")
    op.drop_table("memory_policies")
