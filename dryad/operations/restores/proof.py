"""Whether a restored installation is good, before anybody relies on it."""

from contextlib import closing
from pathlib import Path

from sqlalchemy import select

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database, migrate
from dryad.foundation.database.models import AuditRow, StopRow
from dryad.foundation.errors import DryadError
from dryad.foundation.secrets import Secrets
from dryad.operations.backups.sets import Backups


def restored_problems(backups: Backups, anchor: Path) -> list[str]:
    """Return, in words, what is wrong with the state that was just switched in."""
    key = Secrets.read(backups.secrets).audit_key
    try:
        with closing(Database(backups.stores.database, pool_size=2)) as database:
            migrate.require_current(database)
            audit = Audit(database, key, anchor, backups.clock)
            with database.reading() as session:
                tenants = list(session.scalars(select(AuditRow.tenant).distinct()))
                stopped = session.scalars(
                    select(StopRow).where(StopRow.scope == "global", StopRow.lifted_at.is_(None))
                ).first()
            found = [audit.verify(tenant) for tenant in tenants]
    except DryadError as error:
        return [error.message]
    problems = [f"audit chain of {one.tenant}: {one.reason}" for one in found if not one.intact]
    return problems if stopped else [*problems, "the global stop is not set"]
