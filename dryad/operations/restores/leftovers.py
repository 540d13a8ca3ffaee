"""Databases that a killed restore was still having made: the server finishes what it was asked."""

from dryad.operations.backups.postgres import Cluster, prefix_of
from dryad.operations.backups.sources import Stores
from dryad.operations.restores.paths import restores

FRESH = "restore"


def fresh_database(cluster: Cluster, restore_id: str) -> str:
    """Return the name under which a database waits until it is switched in."""
    return f"{prefix_of(cluster.database, FRESH)}{restore_id.replace('-', '_')}"


def drop_leftovers(stores: Stores) -> None:
    """Drop fresh databases of restores of which there is nothing else any more."""
    for name in ("dryad", "prefect"):
        url = stores.url(name)
        if url is None or stores.is_sqlite(name):
            continue
        cluster = stores.cluster(url)
        for database in cluster.leftovers(FRESH):
            restore_id = database.removeprefix(prefix_of(cluster.database, FRESH))
            if not (restores(stores.home) / restore_id.replace("_", "-")).is_dir():
                cluster.drop(database)
