"""The backup sets of an installation: make one, list them, look whether they restore, let go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

from dryad.foundation import logs
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.errors import Corrupt, InvalidRequest, NotFound, Refused
from dryad.operations.backups import sources
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.making import Made, Making, Purpose, alone
from dryad.operations.backups.manifest import (
    MANIFEST,
    VERIFICATION,
    Manifest,
    Part,
    PartName,
    SetId,
    Verification,
    read_manifest,
    read_verification,
)
from dryad.operations.backups.retention import Keep, Standing, latest_day, removable
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.targets import Target
from dryad.operations.backups.verification import Proof, Verifier

State = Literal["verified", "unverified", "bad", "foreign"]

log = logs.get_logger("backups")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A set as an operator sees it."""

    id: SetId
    state: State
    """`foreign`: sealed for another key; never touched."""
    why: str = ""
    """What is wrong with it, or ''."""
    manifest: Manifest | None = None
    """None: it cannot be read."""
    verified: datetime | None = None
    targets: tuple[Target, ...]

    def told(self, keep: Keep) -> str:
        """Which set this is, and how long it stays at most, in words."""
        if self.manifest is None:
            return f"{self.id}: cannot be read; it stays until it is removed"
        stays = (
            "until a person removes it"
            if self.manifest.critical
            else f"until {latest_day(self.manifest.started, keep)} at the latest, while newer ones "
            "are made and old ones pruned"
        )
        return f"{self.id} of {self.manifest.started:%Y-%m-%d %H:%M} UTC: stays {stays}"


@dataclass
class Backups:
    """The backup sets of one installation.

    Attributes:
        stores: Where everything is that a set holds.
        targets: Where sets lie.
        secrets: Directory of the secrets, in which the backup key lies.
        versions: Tells which software makes a set.
        proofs: What must hold of a restored ledger; each returns what does not.
        keep: How many sets the retention keeps.
    """

    stores: Stores
    targets: Sequence[Target]
    secrets: Path
    versions: Callable[[], dict[str, str]]
    proofs: Sequence[Proof] = ()
    clock: Clock = utc_now
    keep: Keep = field(default_factory=Keep)
    _making: dict[SetId, Making] = field(default_factory=dict[SetId, Making], init=False)

    @cached_property
    def key(self) -> BackupKey:
        """What seals and signs."""
        return BackupKey.create_or_read(self.secrets)

    # -- make

    def create(
        self, purpose: Purpose, *, report: Callable[[Part], None] = lambda _part: None
    ) -> Made:
        """Make a set in every target; `report` hears of each part. Raises as the steps do."""
        making = self.begin(purpose)
        try:
            parts: list[Part] = []
            for name in self.part_names():
                parts.append(self.write(making, name))
                report(parts[-1])
            return self.publish(making, parts)
        except BaseException:
            self.abandon(making)
            raise

    def part_names(self) -> list[PartName]:
        """Return the parts a set of this installation has."""
        return sources.part_names(self.stores)

    def begin(self, purpose: Purpose) -> SetId:
        """Begin a set, which this process must publish or abandon; see `Making`."""
        making = Making(self.stores, self.targets, self.key, purpose, self.clock)
        self._making[making.id] = making
        return making.id

    def write(self, making: SetId, name: PartName) -> Part:
        """Write one part of a set that was begun; see `Making.write`."""
        return self._making[making].write(name)

    def publish(self, making: SetId, parts: Sequence[Part]) -> Made:
        """Make a set visible that was begun; see `Making.publish`."""
        made = self._making[making].publish(parts, self.versions())
        del self._making[making]
        return made

    def abandon(self, making: SetId) -> None:
        """Take away a set that was begun; one that was published stays."""
        if making in self._making:
            self._making.pop(making).abandon()

    # -- look

    def listed(self) -> list[Listed]:
        """Return every set of every target, newest first."""
        where: dict[SetId, list[Target]] = {}
        for target in self.targets:
            for found in target.sets():
                where.setdefault(found, []).append(target)
        everything = [self._look(found, holding) for found, holding in where.items()]
        return sorted(everything, key=_age_of, reverse=True)

    def find(self, wanted: str) -> Listed:
        """Return one set by its id, the beginning of it, or `newest` (that is not bad).

        Raises:
            NotFound: there is none.
            InvalidRequest: the beginning fits several.
        """
        listed = self.listed()
        if wanted == "newest":
            fitting = [one for one in listed if one.state in {"verified", "unverified"}][:1]
        else:
            fitting = [one for one in listed if one.id.startswith(wanted)]
        if not fitting:
            raise NotFound(
                f"there is no backup set {wanted[:60]!r}", "`dryad backup list` shows all."
            )
        if len(fitting) > 1:
            raise InvalidRequest(
                f"{wanted!r} fits {len(fitting)} sets", f"One is {fitting[0].id}; name it whole."
            )
        return fitting[0]

    def manifest(self, target: Target, found: SetId) -> Manifest:
        """Return the manifest a target holds; raises as `read_manifest` does."""
        with target.open(found, MANIFEST) as stream:
            return read_manifest(stream.read(), found, self.key)

    def verify(self, wanted: Listed) -> Verification:
        """Restore a set into a scratch place, compare, and keep what was found beside the set.

        Raises:
            Refused: the set is sealed for another key.
            Unavailable: a target or the database server failed: nothing is known of the set.
        """
        if wanted.state == "foreign":
            raise Refused(wanted.why, "Use the keys of the installation that made it.")
        if wanted.manifest is None:
            return Verification(
                set=wanted.id, manifest="", at=self.clock(), problems=(wanted.why,), seconds=0.0
            )
        with alone(self.stores.home):
            verifier = Verifier(self.stores, self.key, self.proofs, self.clock)
            found = verifier.verify(wanted.manifest, wanted.targets)
            for target in wanted.targets:
                target.note(wanted.id, VERIFICATION, found.signed(self.key))
        log.info("backup_verified", set=wanted.id, problems=list(found.problems))
        return found

    # -- let go

    def outdated(self) -> list[Listed]:
        """Return the sets that the retention lets go, oldest first."""
        readable = {one.id: one for one in self.listed() if one.manifest is not None}
        going = removable([_standing(one) for one in readable.values()], self.keep)
        return [readable[one] for one in sorted(going)]

    def remove(self, ids: Sequence[SetId]) -> list[SetId]:
        """Remove those of the sets that the retention lets go; return them.

        Looks again: what became the newest good set meanwhile stays.

        Raises:
            Conflict: a set is being made, pruned or restored.
        """
        gone: list[SetId] = []
        with alone(self.stores.home):
            for one in self.outdated():
                if one.id in ids:
                    for target in one.targets:
                        target.remove(one.id)
                    gone.append(one.id)
                    log.info("backup_removed", set=one.id)
        return gone

    # -- helpers

    def _look(self, found: SetId, targets: Sequence[Target]) -> Listed:
        holding = tuple(targets)
        try:
            manifest = self.manifest(targets[0], found)
            verification = self._verification(targets[0], manifest)
        except Refused as error:
            return Listed(id=found, state="foreign", why=error.message, targets=holding)
        except (Corrupt, NotFound) as error:
            return Listed(id=found, state="bad", why=error.message, targets=holding)
        if verification is None:
            return Listed(id=found, state="unverified", manifest=manifest, targets=holding)
        return Listed(
            id=found,
            state="verified" if verification.good else "bad",
            why="; ".join(verification.problems),
            manifest=manifest,
            verified=verification.at,
            targets=holding,
        )

    def _verification(self, target: Target, manifest: Manifest) -> Verification | None:
        try:
            with target.open(manifest.id, VERIFICATION) as stream:
                return read_verification(stream.read(), manifest, self.key)
        except NotFound:
            return None


def _age_of(one: Listed) -> tuple[str, float, SetId]:
    """Order by the second in the name, which every set has, then by the moment it says itself."""
    moment = 0.0 if one.manifest is None else one.manifest.started.timestamp()
    return one.id[:15], moment, one.id


def _standing(one: Listed) -> Standing:
    assert one.manifest is not None
    return Standing(
        id=one.id,
        started=one.manifest.started,
        critical=one.manifest.critical,
        state="unverified" if one.state == "foreign" else one.state,
    )
