"""Keep what people say about a question, and whether they were reminded of it.

Revision ID: 0009_talk
Revises: 0008_memory_policies
"""

import sqlalchemy as sa
from alembic import op

revision = "0009_talk"
down_revision = "0008_memory_policies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("reminded", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "case_messages",
        sa.Column("case", _serial(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case"], ["cases.id"], name="fk_case_messages_case_cases"),
        sa.PrimaryKeyConstraint("case", "sequence", name="pk_case_messages"),
    )


def downgrade() -> None:
    op.drop_table("case_messages")
    with op.batch_alter_table("cases") as table:
        table.drop_column("reminded")


def _serial() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
