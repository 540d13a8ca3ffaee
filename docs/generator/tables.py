"""Every table of the ledger: what a row is, and its columns."""

from sqlalchemy import Column

from docs.generator.markdown import page, summary, table
from dryad.foundation.database import models
from dryad.foundation.database.models import Base

INTRODUCTION = """\
The ledger's schema, alike on SQLite and PostgreSQL, from `dryad/foundation/database/models/`.
Times are aware UTC; JSON columns hold canonical JSON. How rows are used together stands in
[Stored formats](stored-formats.md)."""


def tables() -> str:
    """Return the page of all tables, in the order of the code."""
    parts: list[str] = []
    for row in Base.__subclasses__():
        if row.__module__.startswith(models.__name__):  # a test may have tables of its own
            columns = row.__table__.columns
            cells = [(f"`{column.name}`", _type(column), _role(column)) for column in columns]
            parts += [f"## {row.__tablename__}", summary(row)]
            parts += [table(("Column", "Type", "Role"), cells)]
    return page("Tables", INTRODUCTION, *parts)


def _type(column: "Column[object]") -> str:
    name = type(column.type).__name__
    length = getattr(column.type, "length", None)
    words = {"Instant": "time", "Text": "text", "String": "text", "JSON": "JSON", "Boolean": "bool"}
    words |= {"Integer": "integer", "BigInteger": "integer", "Float": "number"}
    text = words.get(name, name.lower()) + (f" ≤ {length}" if length else "")
    return text + (", may be absent" if column.nullable else "")


def _role(column: "Column[object]") -> str:
    roles = ["key"] if column.primary_key else []
    roles += [f"→ `{key.target_fullname}`" for key in column.foreign_keys]
    roles += ["unique"] if column.unique else []
    return ", ".join(roles)
