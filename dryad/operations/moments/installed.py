"""What an installation needs to go back to a moment, as its settings describe it."""

from dryad.foundation.settings import Settings
from dryad.operations.backups.installed import stores_of
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.targets import open_target
from dryad.operations.moments.archive import WalArchive
from dryad.operations.moments.base import Bases


def bases_of(settings: Settings) -> Bases:
    """Return the base backups of an installation's PostgreSQL cluster; raises as `backups_of`."""
    return Bases(
        stores_of(settings),
        [open_target(f"{address}/base") for address in settings.backup_targets],
        BackupKey.create_or_read(settings.secrets_path),
    )


def archive_of(settings: Settings) -> WalArchive | None:
    """Return where an installation's PostgreSQL archives its WAL; None: nowhere."""
    place = settings.wal_archive
    return None if place is None else WalArchive(place, settings.postgres_tools)
