"""Bring a ledger to the schema of this code, and say where the two differ.

A revision is one file in `migrations/versions`, named `<number>_<what>.py`. To add one, change the
models, run `python -m dryad.foundation.database.migrate "what it does"`, and read what it wrote.
What only one technology has (SQLite's FTS5 tables and triggers, PostgreSQL's tsvector columns and
GIN indexes) is in no model: write such a revision by hand with `op.execute` under
`if op.get_bind().dialect.name == "sqlite"`. The comparison leaves these objects alone.
"""

import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from dryad.foundation.database.drift import check_constraints, ours
from dryad.foundation.database.engine import Database
from dryad.foundation.database.models import Base
from dryad.foundation.database.models.columns import Instant
from dryad.foundation.errors import Corrupt, NotFound, Refused, Unavailable

CONNECTION = "connection"
_LOCK = 0x4452594144  # "DRYAD"
_HERE = Path(__file__).parent / "migrations"


def upgrade(database: Database) -> str:
    """Bring `database` to the schema of this code; return the revision it has now.

    Any number of processes may do so at once: one upgrades, the others wait and find it done.
    All revisions are applied, or none.

    Raises:
        Refused: a newer DRYAD made this database.
        Unavailable: it does not answer, or another upgrade takes too long.
    """
    with _migrating(database) as (connection, config):
        _refuse_newer(_revision(connection))
        command.upgrade(config, "head")
    return head()


def downgrade(database: Database, revision: str) -> None:
    """Bring `database` back to an earlier schema; what that schema cannot hold is lost.

    Args:
        database: The ledger.
        revision: A revision, `-1` for one step, or `base` for an empty database.

    Raises:
        NotFound: there is no such revision below the present one.
        Refused: a newer DRYAD made this database.
        Unavailable: it does not answer, or another upgrade takes too long.
    """
    with _migrating(database) as (connection, config):
        present = _revision(connection)
        _refuse_newer(present)
        try:
            command.downgrade(config, revision)
        except CommandError as error:
            raise NotFound(
                f"the database at {present} has no earlier revision {revision[:40]!r}",
                "`dryad db current` shows where it stands.",
            ) from error


def current(database: Database) -> str | None:
    """Return the revision of `database`; None: no migration ever ran.

    Raises:
        Unavailable: it does not answer.
    """
    with _connected(database) as connection:
        return _revision(connection)


def head() -> str:
    """Return the newest revision this code knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def require_current(database: Database) -> None:
    """Let work begin only on the schema this code was written for.

    Raises:
        Refused: the database is older or newer than the code.
        Unavailable: it does not answer.
    """
    present = current(database)
    _refuse_newer(present)
    if present != head():
        raise Refused(
            f"the database is at revision {present or 'none'}, this DRYAD needs {head()}",
            "Run `dryad db upgrade`.",
        )


def check(database: Database) -> list[str]:
    """Return, in words, every difference between `database` and the models; empty: none.

    Compares tables, columns, types, keys, indexes and the text of CHECK constraints.

    Raises:
        Unavailable: the database does not answer.
    """
    with _connected(database) as connection:
        present = _revision(connection)
        found = [] if present == head() else [f"revision {present or 'none'}, expected {head()}"]
        context = MigrationContext.configure(connection, opts=comparison(connection))
        for difference in compare_metadata(context, Base.metadata):
            found.extend(_in_words(difference))
        return found + check_constraints(connection, Base.metadata)


def draft(message: str) -> Path:
    """Write a revision with the differences between the newest one and the models.

    Raises:
        Corrupt: Alembic wrote none.
    """
    known = len(list(ScriptDirectory.from_config(_config()).walk_revisions()))
    name = re.sub(r"\W+", "_", message.lower()).strip("_")
    revision = f"{known + 1:04d}_{name}"[:32]
    with TemporaryDirectory() as scratch:
        database = Database(f"sqlite:///{scratch}/dryad.db")
        with _migrating(database) as (_, config):
            command.upgrade(config, "head")
            made = command.revision(config, message, autogenerate=True, rev_id=revision)
        database.close()
    if made is None or isinstance(made, list):
        raise Corrupt("Alembic wrote no single revision")
    return Path(made.path)


def comparison(connection: Connection) -> dict[str, Any]:
    """Return how Alembic compares the database with the models, and writes what differs."""
    return {
        "target_metadata": Base.metadata,
        "include_object": ours(connection),
        "render_item": _frozen_type,
        "render_as_batch": True,
        "compare_type": True,
    }


def _frozen_type(kind: str, item: object, _context: AutogenContext) -> str | bool:
    """A revision must not change when our own types do."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Instant) else False


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s")
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _connected(database: Database) -> Generator[Connection]:
    try:
        with database.engine.connect() as connection:
            yield connection
    except OperationalError as error:
        raise Unavailable(f"the database did not answer: {error.orig}") from error


@contextmanager
def _migrating(database: Database) -> Generator[tuple[Connection, Config]]:
    """Hold the one right to change the schema; commit all of it, or nothing."""
    with (
        _connected(database) as connection,
        _without_cascades(connection, database.is_sqlite),
        connection.begin(),  # on SQLite this is BEGIN IMMEDIATE
    ):
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK})
        config = _config()
        config.attributes[CONNECTION] = connection
        try:
            yield connection, config
        except DBAPIError as error:
            raise Unavailable(
                f"the migration failed, and nothing of it stays: {error.orig}",
                "Run `dryad db check`; if a table is in the way, restore the backup made before.",
            ) from error
        if database.is_sqlite:
            _refuse_orphans(connection)


def _refuse_orphans(connection: Connection) -> None:
    if broken := connection.execute(text("PRAGMA foreign_key_check")).first():
        raise Corrupt(f"the migration left a row of {broken[0]} without its parent")


@contextmanager
def _without_cascades(connection: Connection, is_sqlite: bool) -> Generator[None]:
    """SQLite alters a table by dropping it, which would delete what refers to it."""
    if not is_sqlite:
        yield
        return
    raw: Any = connection.connection.driver_connection
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        raw.execute("PRAGMA foreign_keys=ON")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(present: str | None) -> None:
    scripts = ScriptDirectory.from_config(_config())
    if present is not None and present not in {s.revision for s in scripts.walk_revisions()}:
        raise Refused(
            f"the database is at revision {present}, which this DRYAD ({head()}) does not know",
            "Start the newer DRYAD that made it, or restore the backup taken before it.",
        )


def _in_words(difference: Any) -> list[str]:
    """Alembic gives a tuple, or a list of them for the changes of one column."""
    if isinstance(difference, list):
        changes = cast("list[Any]", difference)
        return [words for change in changes for words in _in_words(change)]
    verb, *things = difference
    return [f"{verb}: {', '.join(_name(thing) for thing in things if thing is not None)}"]


def _name(thing: Any) -> str:
    table = getattr(thing, "table", None)
    name = getattr(thing, "name", None)
    if isinstance(name, str):
        return f"{table.name}.{name}" if table is not None else name
    return str(thing)


if __name__ == "__main__":
    sys.stdout.write(f"{draft(sys.argv[1])}\n")
