"""Make one set: its parts one after the other, each read once and written into every target."""

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dryad.foundation import logs
from dryad.foundation.clock import Clock
from dryad.foundation.errors import Conflict, Corrupt, InvalidRequest, Unavailable
from dryad.operations.backups import sources
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.manifest import FORMAT, Manifest, Part, PartName, set_id
from dryad.operations.backups.sealing import seal
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.spread import Spread
from dryad.operations.backups.targets import Target

_ENDINGS = {"sqlite": "db", "postgresql": "dump", "tar": "tar", "env": "env"}

log = logs.get_logger("backups")


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a set is made for."""

    kind: str = "on-demand"
    """`daily`, `on-demand`, `safety`."""
    critical: bool = False
    """Kept until a person removes it."""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.critical and not self.reason.strip():
            raise InvalidRequest(
                "a critical set is kept for ever and needs a reason",
                "Say why, as in --reason 'before the upgrade to 2.0'.",
            )


@dataclass(frozen=True)
class Made:
    """A new set, and the targets that could not take it."""

    manifest: Manifest
    failed: dict[str, str]
    """Target → why it holds no copy."""


class Making:
    """A set that is being made; nobody sees it before `publish`."""

    def __init__(
        self,
        stores: Stores,
        targets: Sequence[Target],
        key: BackupKey,
        purpose: Purpose,
        clock: Clock,
    ) -> None:
        """Begin it in every target.

        Raises:
            Conflict: a set is being made, pruned or restored already.
            InvalidRequest: there is no target.
            Unavailable: no target takes it, or there is too little room.
        """
        if not targets:
            raise InvalidRequest(
                "there is no backup target", "Set DRYAD_BACKUP_TARGETS to a directory or address."
            )
        self._stores, self._key, self._purpose, self._clock = stores, key, purpose, clock
        self._ending = ExitStack()
        self._ending.enter_context(alone(stores.home))
        self.started: datetime = clock()
        self.id = set_id(self.started, secrets.token_hex(2))
        self._spread = Spread(self.id, targets)
        self._scratch = stores.home / "scratch"
        self._ending.callback(shutil.rmtree, self._scratch, ignore_errors=True)
        try:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch.mkdir(mode=0o700, parents=True)
            self._require_room()
            self._spread.begin()
        except BaseException:
            self.abandon()
            raise

    def write(self, name: PartName) -> Part:
        """Write one part.

        Raises:
            Unavailable: the source failed, or the last target did.
        """
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            with sources.snapshot(name, self._stores, scratch) as found:
                file = f"{name}.{_ENDINGS[found.technology]}.zst.age"
                with self._spread.writing(file) as out:
                    sealed = seal(found.stream, out, self._key)
        except OSError as error:
            raise Unavailable(f"part {name} could not be kept: {error}") from error
        finally:
            shutil.rmtree(scratch)
        return Part(
            name=name,
            technology=found.technology,
            file=file,
            counts=found.counts,
            positions=found.positions,
            plain_bytes=sealed.plain_bytes,
            plain_sha256=sealed.plain_sha256,
            stored_bytes=sealed.stored_bytes,
            stored_sha256=sealed.stored_sha256,
        )

    def publish(self, parts: Sequence[Part], versions: dict[str, str]) -> Made:
        """Make the set visible.

        Raises:
            Corrupt: a part is missing.
            Unavailable: no target could.
        """
        missing = set(sources.part_names(self._stores)) - {part.name for part in parts}
        if missing:
            raise Corrupt(f"the set would lack {', '.join(sorted(missing))}")
        manifest = Manifest(
            format=FORMAT,
            id=self.id,
            started=self.started,
            finished=self._clock(),
            kind=self._purpose.kind,
            critical=self._purpose.critical,
            reason=self._purpose.reason.strip(),
            versions=versions,
            recipient=self._key.recipient,
            parts=tuple(parts),
        )
        self._spread.publish(manifest.signed(self._key))
        self._ending.close()
        log.info("backup_made", set=self.id, bytes=manifest.stored_bytes)
        return Made(manifest, dict(self._spread.failed))

    def abandon(self) -> None:
        """Take away what there is of the set."""
        self._spread.abandon()
        self._ending.close()

    def _require_room(self) -> None:
        """Refuse before the first byte what would fill a disk."""
        copy, free = sources.scratch_bytes(self._stores), shutil.disk_usage(self._scratch).free
        if free < copy:
            raise Unavailable(
                f"{free / 1e6:,.0f} MB are free beside the database, "
                f"its copy needs {copy / 1e6:,.0f} MB",
                "Free some disk where the home is.",
            )
        self._spread.require_room(sources.expected_bytes(self._stores))


@contextmanager
def alone(home: Path) -> Generator[None]:
    """Hold the one right to make, prune or restore sets of an installation.

    Raises:
        Conflict: another process does.
    """
    directory = home / "run"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(directory / "backup.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "another backup, prune or restore of this installation is at work",
                "Wait until it is done; one works at a time.",
            ) from error
        yield
    finally:
        os.close(handle)
