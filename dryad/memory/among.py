"""Which passages a search may find: by category, owner, time, and what stands beside them."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from dryad.foundation.database.models import DocumentRow, PassageRow
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import TenantId

MOST_DETAILS = 10
_NAME = re.compile(r"[\w -]{1,64}")

Numbers = npt.NDArray[np.int64]

Plain = str | int | float | bool | None
"""What a detail may be compared with."""


class Filters(TypedDict):
    """What every index is asked with."""

    category: str | None
    agents: Collection[str] | None


@dataclass(frozen=True)
class Among:
    """Which passages may be found; the default: any.

    Attributes:
        category: Only of documents of this category.
        agents: Only of documents of these owners.
        since: Only of documents kept at this time or later.
        until: Only of documents kept before this time.
        details: Only of documents whose details have these names with these values.
    """

    category: str | None = None
    agents: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Refuse what no document could be asked about."""
        if len(self.details) > MOST_DETAILS:
            raise InvalidRequest(f"at most {MOST_DETAILS} details can be asked for at once")
        for name, value in self.details.items():
            if not _NAME.fullmatch(name) or not isinstance(value, Plain):
                raise InvalidRequest(
                    f"the detail {name[:80]!r} cannot be asked for",
                    "Names are letters, digits, blanks, _ and -; values text, numbers, true, null.",
                )
        if any(time is not None and time.tzinfo is None for time in (self.since, self.until)):
            raise InvalidRequest("a time needs its zone, as in 2026-01-31T12:00:00Z")

    @property
    def filters(self) -> Filters:
        """What indexes know of passages."""
        return {"category": self.category, "agents": self.agents}

    def numbers(self, session: Session, tenant: TenantId) -> Numbers | None:
        """Return the passages that the ledger alone can name; None: indexes know all that is asked.

        All documents of the tenant are looked through: some 2 µs a passage.

        The rest of the filters is not looked at.
        """
        if self.since is None and self.until is None and not self.details:
            return None
        query = (
            select(PassageRow.number)
            .join(DocumentRow, DocumentRow.id == PassageRow.document)
            .where(PassageRow.tenant == tenant, DocumentRow.deleted.is_(None))
        )
        if self.since is not None:
            query = query.where(DocumentRow.created >= self.since)
        if self.until is not None:
            query = query.where(DocumentRow.created < self.until)
        says = {"sqlite": _says_sqlite, "postgresql": _says_postgres}
        for name, value in self.details.items():
            query = query.where(says[session.get_bind().dialect.name](name, value))
        # As the driver gives them: what wraps a row costs as much as reading it.
        cursor: Any = session.connection().execute(query).cursor
        rows: list[tuple[int]] = cursor.fetchall()
        return np.fromiter((number for (number,) in rows), np.int64, len(rows))


def _says_postgres(name: str, value: Plain) -> ColumnElement[Any]:
    return cast(DocumentRow.details, JSONB).op("->")(name) == cast(value, JSONB)


def _says_sqlite(name: str, value: Plain) -> ColumnElement[Any]:
    """Compare kind and value: SQLite gives true as 1."""
    path = f'$."{name}"'
    kind = func.json_type(DocumentRow.details, path)
    if value is None or isinstance(value, bool):
        return kind == json.dumps(value)
    kinds = ("text",) if isinstance(value, str) else ("integer", "real")
    return kind.in_(kinds) & (func.json_extract(DocumentRow.details, path) == value)
