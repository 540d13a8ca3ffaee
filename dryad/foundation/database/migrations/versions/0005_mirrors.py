"""Keep what mirrors of memory have yet to see, and how far each may be believed.

Revision ID: 0005_mirrors
Revises: 0004_governance
"""

import sqlalchemy as sa
from alembic import op

revision = "0005_mirrors"
down_revision = "0004_governance"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "recent", sa.Column("sequence", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column(
        "shelves", sa.Column("mirrored", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.create_table(
        "mirrors",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("trusted", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_mirrors"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mirror", sa.String(length=16), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        # Never an id twice, also after the newest row was deleted: ids order changes.
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_mirror", "outbox", ["mirror"])


def downgrade() -> None:
    op.drop_table("outbox")
    op.drop_table("mirrors")
    with op.batch_alter_table("shelves") as table:
        table.drop_column("mirrored")
    with op.batch_alter_table("recent") as table:
        table.drop_column("sequence")
