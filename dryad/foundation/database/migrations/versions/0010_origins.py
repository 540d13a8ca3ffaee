"""Know every origin of a text that is kept once, so that it stays while one of them has it.

Revision ID: 0010_origins
Revises: 0009_talk
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_origins"
down_revision = "0009_talk"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "origins",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("document", sa.String(64), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["document"], ["documents.id"], name="fk_origins_document_documents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant", "digest", "document", name="pk_origins"),
    )
    op.create_index("ix_origins_document", "origins", ["document"])


def downgrade() -> None:
    op.drop_table("origins")
