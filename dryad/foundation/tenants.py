"""Whose data it is: the tenants of an installation."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.errors import Conflict, InvalidRequest, NotFound
from dryad.foundation.ids import TenantId, checked_name

DEFAULT = TenantId("default")
"""The tenant every installation has."""


@dataclass(frozen=True)
class Tenant:
    """One tenant; a closed one can no longer be reached with its keys."""

    id: TenantId
    name: str
    status: Literal["active", "closed"]
    created: datetime


class Tenants:
    """Who there is."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def create(self, id: str, name: str) -> Tenant:  # noqa: A002 - the word of the domain
        """Add a tenant.

        Args:
            id: 1-64 lower-case letters, digits, `-` or `_`; never changes.
            name: For people, 1-200 characters.

        Raises:
            InvalidRequest: the id or the name is not of that shape.
            Conflict: the id is taken.
        """
        checked_name(id, what="a tenant id")
        if not 1 <= len(name.strip()) <= 200 or not name.isprintable():
            raise InvalidRequest("a tenant's name must be 1-200 printable characters")
        row = TenantRow(id=id, name=name.strip(), status="active", created=self._clock())
        try:
            with self._database.transaction() as session:
                session.add(row)
        except IntegrityError as error:
            raise Conflict(f"tenant {id!r} exists already") from error
        return _tenant(row)

    def get(self, id: str) -> Tenant:  # noqa: A002 - the word of the domain
        """Return one tenant.

        Raises:
            NotFound: there is none of that id.
        """
        with self._database.reading() as session:
            row = session.get(TenantRow, id)
        if row is None:
            raise NotFound(f"no tenant {id[:80]!r}", "`dryad tenants list` shows all.")
        return _tenant(row)

    def list(self) -> list[Tenant]:
        """Return every tenant, by id."""
        with self._database.reading() as session:
            return [_tenant(row) for row in session.scalars(select(TenantRow).order_by("id"))]


def _tenant(row: TenantRow) -> Tenant:
    return Tenant(
        id=TenantId(row.id),
        name=row.name,
        status=row.status,  # pyright: ignore[reportArgumentType] - the CHECK constraint holds it
        created=row.created,
    )
