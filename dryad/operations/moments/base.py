"""Base backups of a whole PostgreSQL cluster, sealed like the parts of a set, beside the sets."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dryad.foundation import logs
from dryad.foundation.errors import Corrupt, NotFound, Refused
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.making import alone
from dryad.operations.backups.manifest import (
    FORMAT,
    MANIFEST,
    Manifest,
    Part,
    age_in_words,
    read_manifest,
    set_id,
)
from dryad.operations.backups.sealing import seal
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.spread import Spread
from dryad.operations.backups.targets import Target
from dryad.operations.moments.server import Server

_FILE = "cluster.tar.zst.age"

log = logs.get_logger("backups")


@dataclass(frozen=True)
class Base:
    """One base backup."""

    manifest: Manifest
    target: Target

    @property
    def part(self) -> Part:
        """The one part it has."""
        return self.manifest.parts[0]

    def told(self, window: timedelta) -> str:
        """Which one this is, and how long it stays, in words."""
        made = f"{self.manifest.finished:%Y-%m-%d %H:%M} UTC"
        return (
            f"base backup {self.manifest.id} of {made}, with the WAL archive since: stays until "
            f"a newer base is {age_in_words(window)} old"
        )

    @property
    def first(self) -> str:
        """The first WAL segment it needs."""
        return str(self.part.positions["first"])


@dataclass(frozen=True)
class Bases:
    """The base backups of one cluster, in the folder `base` of each backup target."""

    stores: Stores
    targets: Sequence[Target]
    key: BackupKey

    @property
    def server(self) -> Server:
        """The server both databases are in."""
        return Server(self.stores.database, self.stores.postgres_tools)

    def create(self) -> Base:
        """Make one; work goes on, and it returns when the WAL it needs is archived.

        Raises:
            Conflict: a set is being made, pruned or restored.
            Unavailable: the server refused, or no target takes it.
        """
        with alone(self.stores.home):
            server = self.server
            began, first = server.position()
            spread = Spread(set_id(began, secrets.token_hex(2)), self.targets)
            spread.require_room(server.all_bytes())
            spread.begin()
            try:
                manifest = self._written(server, spread, began, first)
                spread.publish(manifest.signed(self.key))
            except BaseException:
                spread.abandon()
                raise
        log.info("base_backup_made", base=manifest.id, bytes=manifest.stored_bytes)
        return next(one for one in self.listed() if one.manifest.id == manifest.id)

    def listed(self) -> list[Base]:
        """Return the base backups that can be read, newest first, each from its first target."""
        found: dict[str, Base] = {}
        for target in self.targets:
            for name in target.sets():
                try:
                    with target.open(name, MANIFEST) as stream:
                        manifest = read_manifest(stream.read(), name, self.key)
                except (Corrupt, NotFound, Refused) as error:
                    log.warning("base_backup_unreadable", base=name, reason=error.message)
                    continue
                found.setdefault(name, Base(manifest, target))
        return sorted(found.values(), key=lambda one: one.manifest.finished, reverse=True)

    def before(self, moment: datetime) -> Base:
        """Return the newest base backup that was whole at a moment.

        Raises:
            Refused: there is none.
        """
        listed = self.listed()
        fitting = [one for one in listed if one.manifest.finished <= moment]
        if not fitting:
            oldest = (
                f"the oldest is of {listed[-1].manifest.finished:%Y-%m-%d %H:%M:%S} UTC"
                if listed
                else "there is none"
            )
            raise Refused(
                f"no base backup is older than {moment:%Y-%m-%d %H:%M:%S} UTC: {oldest}",
                "Nothing was changed. Name a later moment; `dryad backup base` makes another.",
            )
        return fitting[0]

    def remove(self, base: Base) -> None:
        """Remove one from every target that holds it; raises `Unavailable`."""
        for target in self.targets:
            if base.manifest.id in target.sets():
                target.remove(base.manifest.id)

    def _written(self, server: Server, spread: Spread, began: datetime, first: str) -> Manifest:
        with server.base_backup() as stream, spread.writing(_FILE) as out:
            sealed = seal(stream, out, self.key)
        ended, _ = server.position()
        part = Part(
            name="cluster",
            technology="basebackup",
            file=_FILE,
            counts={},
            positions={"first": first},
            plain_bytes=sealed.plain_bytes,
            plain_sha256=sealed.plain_sha256,
            stored_bytes=sealed.stored_bytes,
            stored_sha256=sealed.stored_sha256,
        )
        return Manifest(
            format=FORMAT,
            id=spread.set_id,
            started=began,
            finished=ended,
            kind="base",
            critical=False,
            reason="",
            versions={"postgresql": server.version()},
            recipient=self.key.recipient,
            parts=(part,),
        )
