"""Keep beside a passage the direction of its meaning.

Revision ID: 0003_vectors
Revises: 0002_shelves
"""

import sqlalchemy as sa
from alembic import op

revision = "0003_vectors"
down_revision = "0002_shelves"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("passages", sa.Column("embedder", sa.String(length=64), nullable=True))
    op.add_column("passages", sa.Column("vector", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("passages") as table:
        table.drop_column("vector")
        table.drop_column("embedder")
