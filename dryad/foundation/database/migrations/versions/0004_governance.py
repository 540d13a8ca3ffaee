"""Know who answers, what a policy wanted of them, and what exactly they allowed.

What was allowed before this revision carries no seal, so it has to be allowed again.

Revision ID: 0004_governance
Revises: 0003_vectors
"""

import sqlalchemy as sa
from alembic import op

revision = "0004_governance"
down_revision = "0003_vectors"
branch_labels = None
depends_on = None

_ONE_YES = {"approvers": 1, "raised": False, "role": "", "why": ""}
_NEW = ("policy_version", "needs", "edited", "valid_until", "seal")


def upgrade() -> None:
    _extend_cases()
    _create_budgets()
    op.create_table(
        "votes",
        sa.Column("case", _serial(), autoincrement=False, nullable=False),
        sa.Column("approver", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("via", sa.String(length=8), nullable=False),
        sa.Column("proof", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "decision IN ('approve', 'reject', 'edit', 'reply')", name=op.f("ck_votes_decision")
        ),
        sa.ForeignKeyConstraint(["case"], ["cases.id"], name="fk_votes_case_cases"),
        sa.PrimaryKeyConstraint("case", "approver", "digest", name="pk_votes"),
    )
    op.create_index("ix_votes_at", "votes", ["at"])
    op.create_table(
        "reviewers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("tenants", sa.JSON(), nullable=False),
        sa.Column("keys", sa.JSON(), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("wait_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f("ck_reviewers_status")),
        sa.PrimaryKeyConstraint("id", name="pk_reviewers"),
    )


def downgrade() -> None:
    op.drop_table("reservations")
    op.drop_table("budgets")
    op.drop_table("reviewers")
    op.drop_table("votes")
    with op.batch_alter_table("cases") as table:
        for name in reversed(_NEW):
            table.drop_column(name)


def _extend_cases() -> None:
    op.add_column("cases", sa.Column("policy_version", sa.Integer(), nullable=True))
    op.add_column("cases", sa.Column("needs", sa.JSON(), nullable=True))
    op.add_column("cases", sa.Column("edited", sa.JSON(), nullable=True))
    op.add_column("cases", sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("cases", sa.Column("seal", sa.String(length=64), nullable=True))
    cases = sa.table(
        "cases", sa.column("policy_version", sa.Integer()), sa.column("needs", sa.JSON())
    )
    op.execute(cases.update().values(policy_version=0, needs=_ONE_YES))
    with op.batch_alter_table("cases") as table:
        table.alter_column("policy_version", existing_type=sa.Integer(), nullable=False)
        table.alter_column("needs", existing_type=sa.JSON(), nullable=False)


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("account", sa.String(length=300), nullable=False),
        sa.Column("resource", sa.String(length=16), nullable=False),
        sa.Column("cap", sa.BigInteger(), nullable=True),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("account", "resource", name="pk_budgets"),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("accounts", sa.JSON(), nullable=False),
        sa.Column("amounts", sa.JSON(), nullable=False),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_reservations"),
    )
    op.create_index("ix_reservations_expires", "reservations", ["expires"])
    op.create_index("ix_reservations_settled", "reservations", ["settled"])


def _serial() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
