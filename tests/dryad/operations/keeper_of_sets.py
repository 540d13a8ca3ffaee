"""A process that keeps, prunes or restores over and over until it is killed: see `test_soak.py`.

`python -m tests.dryad.operations.keeper_of_sets WHAT HOME TARGET` prints a line before each round.
"""

import sys
from pathlib import Path

from dryad.operations.backups.making import Purpose
from dryad.operations.backups.sets import Backups
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.targets import DirectoryTarget
from dryad.operations.restores.offline import prove
from dryad.operations.restores.restore import Restore, recover


def backups_at(home: Path, target: Path) -> Backups:
    """The sets of an installation on SQLite."""
    prefect = f"sqlite:///{home / 'prefect' / 'prefect.db'}"
    stores = Stores(home, f"sqlite:///{home / 'dryad.db'}", prefect, "")
    return Backups(stores, [DirectoryTarget(target)], home / "secrets", versions=dict)


def main(what: str, home: Path, target: Path) -> None:
    """Do one thing over and over."""
    backups, anchor = backups_at(home, target), home / "audit-heads"
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
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
