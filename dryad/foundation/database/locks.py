"""Named locks that live as long as a transaction: one writer at a time, on both databases."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def lock(session: Session, name: str) -> None:
    """Wait until no other transaction holds `name`; keep it until this one ends.

    On SQLite a writing transaction excludes every other already, so there is nothing to do.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
