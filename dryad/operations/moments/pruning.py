"""Let go of base backups and archived WAL that no moment of the window needs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dryad.foundation import logs
from dryad.foundation.clock import Clock
from dryad.operations.backups.making import alone
from dryad.operations.moments.archive import Segments, WalArchive
from dryad.operations.moments.base import Base, Bases
from dryad.operations.moments.retention import Standing, needed_from, removable

log = logs.get_logger("backups")


@dataclass(frozen=True)
class Outdated:
    """What the window lets go, and what it does not."""

    bases: tuple[Base, ...]
    """They go, oldest first."""
    segments: Segments
    """They go: nothing that stays needs them."""
    staying: tuple[Base, ...]
    """They stay, newest first."""

    @property
    def anything(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self.bases or self.segments.names)


@dataclass(frozen=True)
class Moments:
    """The base backups and the archive of an installation, and how far back they must lead."""

    bases: Bases
    archive: WalArchive | None
    """None: DRYAD does not know where the WAL goes, and removes none."""
    window: timedelta
    clock: Clock

    def outdated(self) -> Outdated:
        """Say what no moment of the window needs.

        Raises:
            Unavailable: a target, the server or the archive does not answer: nothing is known.
        """
        listed = self.bases.listed()
        if not listed:
            return Outdated((), Segments(), ())
        going = removable(map(_standing, listed), self._now(), self.window)
        staying = [one for one in listed if one.manifest.id not in going]
        first = needed_from([_standing(one) for one in staying])
        return Outdated(
            bases=tuple(one for one in reversed(listed) if one.manifest.id in going),
            segments=Segments()
            if self.archive is None or first is None
            else self.archive.before(first),
            staying=tuple(staying),
        )

    def prune(self) -> Outdated:
        """Remove what no moment of the window needs, and return what it was.

        Bases go first, and a base is invisible before its first byte goes: killed at any moment,
        no base is left without its WAL, and the next prune takes the rest.

        Raises:
            Conflict: a set is being made, pruned or restored.
            Unavailable: as `outdated`, or something cannot be removed.
        """
        with alone(self.bases.stores.home):
            found = self.outdated()
            for one in found.bases:
                self.bases.remove(one)
            if self.archive is not None:
                self.archive.remove(found.segments)
        if found.anything:
            log.info(
                "moments_pruned",
                bases=[one.manifest.id for one in found.bases],
                segments=len(found.segments.names),
                bytes=found.segments.bytes,
            )
        return found

    def _now(self) -> datetime:
        """The earlier of two clocks: one that runs ahead lets nothing go by itself."""
        return min(self.clock(), self.bases.server.position()[0])


def _standing(base: Base) -> Standing:
    return Standing(base.manifest.id, base.manifest.finished, base.first)
