"""Keep what near-duplicates share.

Revision ID: 0006_notes
Revises: 0005_mirrors
"""

import sqlalchemy as sa
from alembic import op

revision = "0006_notes"
down_revision = "0005_mirrors"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bands",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["document"],
            ["documents.id"],
            name="fk_bands_document_documents",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "key", "document", name="pk_bands"),
    )
    op.create_index("ix_bands_document", "bands", ["document"])


def downgrade() -> None:
    op.drop_table("bands")
