"""What is counted in a database when it is kept, and again when it is restored."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any


def sqlite_facts(connection: sqlite3.Connection) -> tuple[dict[str, int], dict[str, Any]]:
    """Return how many rows each table has, and how far the ledger has come."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " AND rootpage > 0 ORDER BY name"
    ).fetchall()
    counts = {
        name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - names of the schema
        for (name,) in names
    }
    return counts, ledger_positions(set(counts), lambda sql: connection.execute(sql).fetchall())


def ledger_positions(tables: set[str], ask: Callable[[str], Sequence[Any]]) -> dict[str, Any]:
    """Return what places a ledger in time: its schema, and the head of each audit chain."""
    found: dict[str, Any] = {}
    if "alembic_version" in tables:
        found["revision"] = next(
            (row[0] for row in ask("SELECT version_num FROM alembic_version")), None
        )
    if "audit" in tables:
        newest = (
            "SELECT tenant, sequence, mac FROM audit AS a WHERE sequence ="
            " (SELECT max(sequence) FROM audit AS b WHERE b.tenant = a.tenant) ORDER BY tenant"
        )
        found["audit"] = {row[0]: [int(row[1]), row[2]] for row in ask(newest)}
    return found
