"""What an installation needs to go back to a moment, as its settings describe it."""

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.settings import Settings
from dryad.operations.backups.installed import stores_of
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.targets import open_target
from dryad.operations.moments.archive import WalArchive
from dryad.operations.moments.base import Bases
from dryad.operations.moments.pruning import Moments


def bases_of(settings: Settings) -> Bases:
    """Return the base backups of an installation's PostgreSQL cluster; raises as `backups_of`."""
    return Bases(
        stores_of(settings),
        [open_target(f"{address}/base") for address in settings.backup_targets],
        BackupKey.create_or_read(settings.secrets_path),
    )


def moments_of(settings: Settings, clock: Clock = utc_now) -> Moments:
    """Return how far back an installation leads, and what it lets go; raises as `backups_of`."""
    return Moments(bases_of(settings), archive_of(settings), settings.moments_window, clock)


def archive_of(settings: Settings) -> WalArchive | None:
    """Return where an installation's PostgreSQL archives its WAL; None: nowhere."""
    place = settings.wal_archive
    return None if place is None else WalArchive(place, settings.postgres_tools)
