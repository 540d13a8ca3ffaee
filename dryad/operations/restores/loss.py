"""What a restore would replace and how much newer work it would lose, for who decides."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta

from dryad.foundation.errors import NotFound, Unavailable
from dryad.operations.backups import sources
from dryad.operations.backups.facts import sqlite_facts
from dryad.operations.backups.manifest import Manifest, PartName
from dryad.operations.backups.sets import Backups
from dryad.operations.backups.sources import Stores


@dataclass(frozen=True)
class Loss:
    """How the live stores differ from a set."""

    set_id: str
    age: timedelta
    """Work of so long is lost, counted from the start of the snapshot."""
    tables: dict[str, int] = field(default_factory=dict[str, int])
    """`part.table` → rows that are here and not in the set; negative: fewer are here."""
    unreadable: str = ""
    """Why the live stores could not be looked at: then there is nothing to copy first either."""


def loss(backups: Backups, manifest: Manifest) -> Loss:
    """Count what is here and was not yet when the set was made."""
    age = max(timedelta(0), backups.clock() - manifest.started)
    tables: dict[str, int] = {}
    try:
        for name in ("dryad", "prefect"):
            part, live = manifest.part(name), _live_counts(backups.stores, name)
            if part is not None:
                tables |= {
                    f"{name}.{table}": count - part.counts.get(table, 0)
                    for table, count in live.items()
                    if count != part.counts.get(table, 0)
                }
    except (NotFound, Unavailable) as error:
        return Loss(manifest.id, age, unreadable=error.message)
    return Loss(manifest.id, age, tables)


def _live_counts(stores: Stores, name: PartName) -> Mapping[str, int]:
    url = stores.url(name)
    if url is None:
        return {}
    if not sources.is_sqlite(url):
        cluster = stores.cluster(url)
        return cluster.facts(cluster.database)[0]
    file = sources.sqlite_path(url)
    if not file.exists():
        raise NotFound(f"there is no {name} database at {file}")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return sqlite_facts(connection)[0]
    except sqlite3.Error as error:
        raise Unavailable(f"the {name} database cannot be read: {error}") from error
