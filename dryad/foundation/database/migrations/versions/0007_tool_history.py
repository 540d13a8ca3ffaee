"""Keep what tools were called and what they keep; say what a tool is for; seal what is set for it.

Revision ID: 0007_tool_history
Revises: 0006_notes
"""

import sqlalchemy as sa
from alembic import op

revision = "0007_tool_history"
down_revision = "0006_notes"
branch_labels = None
depends_on = None

_CATEGORIES = (
    "database", "api", "file_system", "powershell", "bash", "analysis", "communication", "search",
    "code_execution", "monitoring", "educational", "research", "content_creation", "assessment",
    "llm", "web_scraping", "data_processing", "visualization",
)  # fmt: skip
_BUILTIN = {
    "search_memory": "search",
    "store_memory": "research",
    "run_python": "code_execution",
    "query_table": "data_processing",
    "calculate": "analysis",
    "clock": "analysis",
    "write_file": "file_system",
    "read_file": "file_system",
    "list_files": "file_system",
    "fetch": "web_scraping",
    "notify": "communication",
}


def upgrade() -> None:
    _categorise()
    op.add_column("agents", sa.Column("cost_usd", sa.Float(), nullable=False, server_default="0"))
    op.add_column("agents", sa.Column("seconds", sa.Float(), nullable=False, server_default="0"))
    with op.batch_alter_table("agents") as table:
        table.alter_column("cost_usd", existing_type=sa.Float(), server_default=None)
        table.alter_column("seconds", existing_type=sa.Float(), server_default=None)
    _executions()
    _volumes()


def downgrade() -> None:
    op.drop_table("volumes")
    op.drop_table("tool_executions")
    with op.batch_alter_table("agents") as table:
        table.drop_column("seconds")
        table.drop_column("cost_usd")
    with op.batch_alter_table("tools") as table:
        table.drop_constraint(op.f("ck_tools_category"), type_="check")
        table.drop_column("deleted")
        table.drop_column("category")


def _categorise() -> None:
    op.add_column("tools", sa.Column("category", sa.String(length=32), nullable=True))
    op.add_column("tools", sa.Column("deleted", sa.DateTime(timezone=True), nullable=True))
    tools = sa.table(
        "tools",
        sa.column("name", sa.String()),
        sa.column("kind", sa.String()),
        sa.column("category", sa.String()),
    )
    op.execute(tools.update().values(category="api"))
    scripts = tools.update().where(tools.c.kind == "script")
    op.execute(scripts.values(category="code_execution"))
    for name, category in _BUILTIN.items():
        known = tools.update().where(tools.c.kind == "builtin", tools.c.name == name)
        op.execute(known.values(category=category))
    listed = ", ".join(f"'{category}'" for category in _CATEGORIES)
    with op.batch_alter_table("tools") as table:
        table.alter_column("category", existing_type=sa.String(length=32), nullable=False)
        table.create_check_constraint(op.f("ck_tools_category"), f"category IN ({listed})")


def _executions() -> None:
    op.create_table(
        "tool_executions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("session", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("run", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=300), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("tool", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('running', 'done', 'failed', 'refused', 'doubtful')",
            name=op.f("ck_tool_executions_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant"], ["tenants.id"], name=op.f("fk_tool_executions_tenant_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_executions")),
        sa.UniqueConstraint(
            "tenant", "run", "step", name=op.f("uq_tool_executions_tenant_run_step")
        ),
    )
    op.create_index(op.f("ix_tool_executions_started"), "tool_executions", ["started"])
    op.create_index("ix_tool_executions_tenant_tool", "tool_executions", ["tenant", "tool", "id"])
    op.create_index("ix_tool_executions_tenant_session", "tool_executions", ["tenant", "session"])


def _volumes() -> None:
    op.create_table(
        "volumes",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("session", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("tool", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sanitised", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('active', 'orphaned', 'sanitised', 'deleted')",
            name=op.f("ck_volumes_status"),
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_volumes_tenant_tenants")),
        sa.PrimaryKeyConstraint("tenant", "session", name=op.f("pk_volumes")),
    )
    op.create_index(op.f("ix_volumes_task"), "volumes", ["task"])
    op.create_index("ix_volumes_status_used", "volumes", ["status", "used"])
