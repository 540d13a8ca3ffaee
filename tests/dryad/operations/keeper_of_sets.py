"""A process that keeps, prunes or restores over and over until it is killed: see `test_soak.py`.

`python -m tests.dryad.operations.keeper_of_sets WHAT HOME TARGET [SERVER]` prints a line before
each round. SERVER is the URL of a PostgreSQL with the databases `ledger` and `prefect`; default
SQLite.
"""

import sys
from pathlib import Path

from dryad.operations.backups.making import Purpose
from dryad.operations.backups.sets import Backups
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.targets import DirectoryTarget
from dryad.operations.restores.offline import prove
from dryad.operations.restores.restore import Restore, recover
from tests.servers import postgres_tools


def backups_at(home: Path, target: Path, server: str = "") -> Backups:
    """The sets of an installation on SQLite, or on a PostgreSQL server."""
    stores = Stores(
        home,
        f"{server}/ledger" if server else f"sqlite:///{home / 'dryad.db'}",
        f"{server}/prefect" if server else f"sqlite:///{home / 'prefect' / 'prefect.db'}",
        "",
        postgres_tools=postgres_tools() if server else None,
    )
    return Backups(stores, [DirectoryTarget(target)], home / "secrets", versions=dict)


def cycle(home: Path, target: Path, server: str = "") -> None:
    """Keep, verify and restore once; print how many seconds the keeping took."""
    backups = backups_at(home, target, server)
    made = backups.create(Purpose()).manifest
    found = backups.verify(backups.find(made.id))
    assert found.good, found.problems
    restore = Restore.new(backups, home / "audit-heads")
    restore.prepare(backups.find(made.id))
    prove(restore, list)
    seconds = (made.finished - made.started).total_seconds()
    sys.stdout.write(f"kept in {seconds:.1f} s, verified in {found.seconds:.1f} s\n")


def main(what: str, home: Path, target: Path, server: str = "") -> None:
    """Do one thing over and over; `cycle` once."""
    if what == "cycle":
        cycle(home, target, server)
        return
    backups, anchor = backups_at(home, target, server), home / "audit-heads"
    while True:
        sys.stdout.write("round\n")
        sys.stdout.flush()
        if what == "backup":
            backups.create(Purpose())
        elif what == "prune":
            backups.create(Purpose())
            backups.remove([one.id for one in backups.outdated()])
        else:
            recover(backups, anchor)
            restore = Restore.new(backups, anchor)
            restore.prepare(backups.find("newest"))
            prove(restore, list)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
