"""Which differences between a database and the models count, and those Alembic cannot see."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Index, MetaData, create_engine, inspect, text
from sqlalchemy.dialects.postgresql import TSVECTOR

Names = dict[tuple[str, str], str]
"""(table, constraint) → its text as the database tells it."""


def ours(connection: Connection) -> Callable[..., bool]:
    """Return Alembic's `include_object`: False for full-text objects, which no model knows."""
    foreign = _full_text_tables(connection)

    def include(item: Any, name: str | None, kind: str, reflected: bool, _to: Any) -> bool:
        if not reflected:
            return True
        if kind == "table":
            return name not in foreign
        if kind == "column":
            return not isinstance(item.type, TSVECTOR)
        if kind == "index" and isinstance(item, Index):
            return item.dialect_options["postgresql"]["using"] not in {"gin", "gist"}
        return True

    return include


def check_constraints(connection: Connection, models: MetaData) -> list[str]:
    """Return, in words, where the CHECK constraints differ from the models'.

    A database rewrites what it is told, so the models are created once more, beside, and the two
    tellings are compared.
    """
    wanted, found = _as_created(connection, models), _as_found(connection, models)
    return [
        *(f"missing CHECK: {table}.{name}" for table, name in sorted(wanted.keys() - found.keys())),
        *(f"unknown CHECK: {table}.{name}" for table, name in sorted(found.keys() - wanted.keys())),
        *(
            f"changed CHECK: {table}.{name}: {found[table, name]}, expected {wanted[table, name]}"
            for table, name in sorted(wanted.keys() & found.keys())
            if wanted[table, name] != found[table, name]
        ),
    ]


def _full_text_tables(connection: Connection) -> frozenset[str]:
    if connection.dialect.name != "sqlite":
        return frozenset()
    rows = connection.execute(text("PRAGMA table_list"))
    return frozenset(row.name for row in rows if row.type in {"virtual", "shadow"})


def _as_found(connection: Connection, models: MetaData, schema: str | None = None) -> Names:
    inspector = inspect(connection)
    there = set(inspector.get_table_names(schema=schema))
    return {
        (table, str(constraint["name"])): constraint["sqltext"]
        for table in there & set(models.tables)
        for constraint in inspector.get_check_constraints(table, schema=schema)
    }


def _as_created(connection: Connection, models: MetaData) -> Names:
    if connection.dialect.name == "sqlite":
        engine = create_engine("sqlite://")
        try:
            with engine.connect() as scratch:
                models.create_all(scratch)
                return _as_found(scratch, models)
        finally:
            engine.dispose()
    schema = "dryad_drift_check"
    beside = MetaData()
    for table in models.tables.values():
        table.to_metadata(beside, schema=schema)
    with connection.begin_nested() as nothing_stays:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
        beside.create_all(connection)
        names = _as_found(connection, models, schema)
        nothing_stays.rollback()
    return names
