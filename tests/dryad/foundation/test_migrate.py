"""Every revision goes up and down, many processes may upgrade at once, and drift is named."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from dryad.foundation.database import Database, migrate
from dryad.foundation.database.models import Base
from dryad.foundation.errors import Corrupt, NotFound, Refused, Unavailable
from tests.crowd import crowd


@pytest.fixture
def empty(database_url: str):
    """A database without a single table."""
    database = Database(database_url)
    yield database
    database.close()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def run(database: Database, *statements: str) -> None:
    with database.transaction() as session:
        for statement in statements:
            session.execute(text(statement))


def revisions() -> list[str]:
    scripts = ScriptDirectory.from_config(migrate._config())
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def test_an_upgraded_database_is_what_the_models_say(empty: Database):
    assert migrate.current(empty) is None
    assert migrate.upgrade(empty) == migrate.head() == migrate.current(empty)
    assert set(Base.metadata.tables) <= tables(empty)
    assert migrate.check(empty) == []
    migrate.require_current(empty)


def test_every_revision_goes_down_and_up_again(empty: Database):
    migrate.upgrade(empty)
    steps = revisions()
    for below in [*reversed(steps[:-1]), "base"]:
        migrate.downgrade(empty, "-1")
        assert migrate.current(empty) == (None if below == "base" else below)
    assert tables(empty) <= {"alembic_version"}
    migrate.upgrade(empty)
    assert migrate.check(empty) == []
    migrate.downgrade(empty, "base")
    assert tables(empty) <= {"alembic_version"}


def upgrade_from(url: str) -> str:
    return migrate.upgrade(Database(url))


def test_twelve_processes_upgrading_at_once_all_succeed(empty: Database):
    url = empty.url.render_as_string(hide_password=False)
    ended = crowd(12, f"{__name__}:upgrade_from", url)
    assert [e.complained for e in ended if e.status] == []
    assert {e.said for e in ended} == {migrate.head()}
    assert migrate.check(empty) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty: Database):
    run(empty, "CREATE TABLE tasks (mine INTEGER)")
    with pytest.raises(Unavailable, match="nothing of it stays"):
        migrate.upgrade(empty)
    assert tables(empty) == {"tasks"}
    run(empty, "DROP TABLE tasks")
    migrate.upgrade(empty)
    assert migrate.check(empty) == []


def test_a_migration_that_orphans_a_row_is_taken_back(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'dryad.db'}")
    migrate.upgrade(database)
    with database.engine.connect() as connection, migrate._without_cascades(connection, True):
        connection.execute(
            text("INSERT INTO policies VALUES ('nobody', 1, '{}', 'a', '2026-01-01')")
        )
        connection.commit()
    with pytest.raises(Corrupt, match="policies"):
        migrate.downgrade(database, migrate.head())
    database.close()


def test_foreign_keys_hold_again_after_a_migration(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'dryad.db'}", pool_size=1, overflow=0)
    migrate.upgrade(database)
    with database.reading() as session:
        assert session.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
    database.close()


def test_a_database_of_a_newer_dryad_is_refused(empty: Database):
    migrate.upgrade(empty)
    run(empty, "UPDATE alembic_version SET version_num = '9999_later'")
    for attempt in (
        lambda: migrate.upgrade(empty),
        lambda: migrate.downgrade(empty, "base"),
        lambda: migrate.require_current(empty),
    ):
        with pytest.raises(Refused, match="9999_later"):
            attempt()
    assert "tasks" in tables(empty)


def test_work_does_not_begin_on_an_older_schema(empty: Database):
    with pytest.raises(Refused, match="none") as refusal:
        migrate.require_current(empty)
    assert "dryad db upgrade" in refusal.value.next_step


def test_a_revision_nobody_made_is_not_found(empty: Database):
    migrate.upgrade(empty)
    for nothing in ("0000_nothing", "-99"):
        with pytest.raises(NotFound):
            migrate.downgrade(empty, nothing)
    assert migrate.current(empty) == migrate.head()


DRIFTS = [
    ("ALTER TABLE health ADD COLUMN extra INTEGER", "health.extra"),
    ("ALTER TABLE audit DROP COLUMN subject", "audit.subject"),
    ("DROP INDEX ix_tasks_run", "ix_tasks_run"),
    ("CREATE INDEX mine ON tasks (text)", "mine"),
    ("DROP TABLE force_messages", "force_messages"),
    ("CREATE TABLE mine (id INTEGER)", "mine"),
]


@pytest.mark.parametrize(("statement", "named"), DRIFTS)
def test_a_changed_database_is_named(empty: Database, statement: str, named: str):
    migrate.upgrade(empty)
    run(empty, statement)
    assert any(named in difference for difference in migrate.check(empty))


def test_a_changed_check_constraint_is_named(empty: Database):
    migrate.upgrade(empty)
    if empty.is_sqlite:
        run(
            empty,
            "PRAGMA writable_schema=ON",
            "UPDATE sqlite_master SET sql = replace(sql, '''degraded'', ', '') WHERE name='health'",
            "UPDATE sqlite_master SET sql = replace(sql, 'ck_tenants_status', 'ck_mine')"
            " WHERE name='tenants'",
        )
    else:
        run(
            empty,
            "ALTER TABLE health DROP CONSTRAINT ck_health_status",
            "ALTER TABLE health ADD CONSTRAINT ck_health_status CHECK (status IN ('healthy'))",
            "ALTER TABLE tenants RENAME CONSTRAINT ck_tenants_status TO ck_mine",
        )
    empty.close()
    found = migrate.check(empty)
    assert [line.split(":")[0] for line in found] == [
        "missing CHECK", "unknown CHECK", "changed CHECK",
    ]  # fmt: skip
    assert "health.ck_health_status" in found[2]


def test_full_text_objects_are_not_drift(empty: Database):
    migrate.upgrade(empty)
    if empty.is_sqlite:
        run(empty, "CREATE VIRTUAL TABLE words_fts USING fts5(text)")
    else:
        run(
            empty,
            "ALTER TABLE passages ADD COLUMN words tsvector"
            " GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED",
            "CREATE INDEX words_gin ON passages USING gin (words)",
            "CREATE INDEX text_gin ON passages USING gin (to_tsvector('simple', text))",
        )
    assert migrate.check(empty) == []


def test_looking_for_drift_leaves_nothing_behind(empty: Database):
    migrate.upgrade(empty)
    before = inspect(empty.engine).get_schema_names(), tables(empty)
    migrate.check(empty)
    assert (inspect(empty.engine).get_schema_names(), tables(empty)) == before
