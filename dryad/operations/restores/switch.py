"""Fresh stores and live ones change places by rename, so that a kill leaves the one or the other.

What is to happen is written down before the first rename. Where each thing lies tells how far it
came, so going back, or looking again, is the same work whenever and however often it is begun.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dryad.foundation.anchor import Anchor
from dryad.operations.backups.postgres import Cluster
from dryad.operations.backups.targets import sync_directory


@dataclass(frozen=True)
class Swap:
    """One thing that changes places: a file or folder, or a PostgreSQL database."""

    kind: Literal["path", "database"]
    live: str
    fresh: str
    aside: str
    """Where the live one waits until the restore is good."""
    has_live: bool
    has_fresh: bool
    """False: after the switch there is none; it did not exist when the set was made."""


class Places:
    """Files or databases by their name: whether there is one, and another name for it."""

    def __init__(self, cluster: Cluster | None) -> None:
        self._cluster = cluster
        self._known: set[str] | None = None

    def there(self, kind: str, name: str) -> bool:
        """Whether there is one."""
        if kind == "path":
            return Path(name).is_symlink() or Path(name).exists()
        assert self._cluster is not None
        self._known = self._cluster.databases() if self._known is None else self._known
        return name in self._known

    def rename(self, kind: str, old: str, new: str) -> None:
        """Give it another name, for good before this returns."""
        if kind == "path":
            Path(new).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(old).rename(new)
            for parent in {Path(old).parent, Path(new).parent}:
                sync_directory(parent)
            return
        assert self._cluster is not None
        self._cluster.rename(old, new)
        self._known = None

    def remove(self, kind: str, name: str) -> None:
        """Remove it; what is gone is as good."""
        if kind == "database":
            assert self._cluster is not None
            self._cluster.drop(name)
        elif Path(name).is_dir() and not Path(name).is_symlink():
            shutil.rmtree(name)
        else:
            Path(name).unlink(missing_ok=True)


def forward(swaps: Sequence[Swap], places: Places) -> None:
    """Put every fresh thing into its place, the live one aside; nobody may use either."""
    for swap in swaps:
        if swap.has_live and not places.there(swap.kind, swap.aside):
            places.rename(swap.kind, swap.live, swap.aside)
        if swap.has_fresh and places.there(swap.kind, swap.fresh):
            places.rename(swap.kind, swap.fresh, swap.live)


def back(swaps: Sequence[Swap], places: Places) -> None:
    """Put everything where it was; what was switched in goes back to being fresh."""
    for swap in reversed(swaps):
        moved_in = swap.has_fresh and not places.there(swap.kind, swap.fresh)
        aside = swap.has_live and places.there(swap.kind, swap.aside)
        appeared = not swap.has_fresh and aside and places.there(swap.kind, swap.live)
        if (moved_in and places.there(swap.kind, swap.live)) or appeared:
            places.rename(swap.kind, swap.live, swap.fresh)
        if aside:
            places.rename(swap.kind, swap.aside, swap.live)


def reset_heads(anchor: Path, kept: Path) -> None:
    """Give the audit anchor the heads of another anchor's directory."""
    Anchor(anchor).reset(Anchor(kept).heads())
