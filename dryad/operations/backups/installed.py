"""The backup sets of the installation that some settings describe.

Wired here and not in bootstrap, because a set must restore when nothing else can be imported.
"""

import platform
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import AuditRow
from dryad.foundation.environment import Origin
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.foundation.settings_text import shown
from dryad.operations.backups.retention import Keep
from dryad.operations.backups.sets import Backups
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.targets import open_target
from dryad.operations.backups.verification import Proof


def backups_of(
    settings: Settings, *, proofs: Sequence[Proof] = (), clock: Clock = utc_now
) -> Backups:
    """Return the backup sets of an installation; `proofs` are asked beside its audit chains.

    Raises:
        InvalidRequest: a target's address means nothing.
    """
    return Backups(
        stores_of(settings),
        [open_target(address) for address in settings.backup_targets],
        settings.secrets_path,
        versions=versions,
        proofs=(audit_proof(settings.secrets_path), *proofs),
        clock=clock,
        keep=Keep(
            settings.backup_keep_days, settings.backup_keep_weeks, settings.backup_keep_months
        ),
    )


def stores_of(settings: Settings) -> Stores:
    """Return where an installation keeps what a set must hold."""
    assert settings.audit_anchor is not None
    local = [Path(address) for address in settings.backup_targets if "://" not in address]
    return Stores(
        home=settings.home,
        database=settings.database,
        prefect_database=settings.prefect_database,
        settings_text=_as_dotenv(settings),
        outside=(settings.secrets_path, settings.audit_anchor, settings.logs_dir, *local),
        postgres_tools=settings.postgres_tools,
    )


def versions() -> dict[str, str]:
    """Return which software makes a set."""
    names = ("dryad", "prefect", "sqlalchemy", "zstandard", "pyrage")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def audit_proof(secrets: Path) -> Proof:
    """Return what follows every audit chain of a restored ledger from its first row."""

    def prove(url: str) -> list[str]:
        key = Secrets.read(secrets).audit_key
        with closing(Database(url, pool_size=1)) as database, TemporaryDirectory() as nowhere:
            audit = Audit(database, key, Path(nowhere))
            with database.reading() as session:
                tenants = list(session.scalars(select(AuditRow.tenant).distinct()))
            found = [audit.verify(tenant) for tenant in tenants]
        return [f"audit chain of {one.tenant}: {one.reason}" for one in found if not one.intact]

    return prove


def _as_dotenv(settings: Settings) -> str:
    origins = [Origin(name, getattr(settings, name), "") for name in Settings.model_fields]
    return "".join(f"{one.name}={one.value}\n" for one in shown(origins) if one.value)
