"""What stateful tools keep: a snapshot of files a session, sanitised when its task is over.

A snapshot is one file, replaced as a whole, so that a call either changed all it changed or
nothing. What it held before is overwritten then, and all of it in the end; on a file system that
writes elsewhere than it is told to (copy on write, some SSDs), only its encryption helps.
"""

import asyncio
import fcntl
import io
import os
import time
import zipfile
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import VolumeRow
from dryad.foundation.errors import Corrupt, LimitExceeded, NotFound, Refused
from dryad.foundation.ids import TenantId
from dryad.foundation.tool_history import Errand

State = Literal["active", "orphaned", "sanitised", "deleted"]
"""`orphaned`: its task is over; `sanitised`: its content is overwritten; `deleted`: it is gone."""

_WAIT_SECONDS = 30.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Volume:
    """What one session keeps, as it is known of."""

    session: str
    task: str
    agent: str
    tool: str
    status: State
    size_bytes: int
    created: datetime
    used: datetime
    sanitised: datetime | None
    deleted: datetime | None


class Kept:
    """The files of a session during one call, which holds them for itself."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files: dict[str, bytes] = dict(files)
        self.changed = False

    def change(self, files: Mapping[str, bytes], removed: Collection[str]) -> None:
        """Take what a call left: files that are new or changed, and names that are gone."""
        for name in removed:
            self.files.pop(name, None)
        self.files.update(files)
        self.changed = self.changed or bool(files) or bool(removed)


class Volumes:
    """The volumes of an installation."""

    def __init__(
        self, database: Database, root: Path, *, most_bytes: int, clock: Clock = utc_now
    ) -> None:
        """Open them.

        Args:
            database: The ledger.
            root: Where snapshots lie, in a directory a tenant.
            most_bytes: The largest a volume may become.
            clock: Tells the time.
        """
        self._database = database
        self._root = root
        self._most = most_bytes
        self._clock = clock

    @asynccontextmanager
    async def use(self, errand: Errand, tool: str) -> AsyncGenerator[Kept]:
        """Hold a session's files during one call; what it changed is kept when the block ends.

        A block that raises changes nothing.

        Raises:
            Refused: another call of the session holds them for too long.
            LimitExceeded: they would become larger than a volume may; nothing is changed.
            Corrupt: the snapshot is damaged.
        """
        session = errand.session(tool)
        file = self._file(errand.tenant, session)
        lock = await asyncio.to_thread(_locked, file)
        try:
            kept = Kept(await asyncio.to_thread(_read, file))
            yield kept
            await asyncio.to_thread(self._keep, errand, tool, file, kept)
        finally:
            os.close(lock)

    def list(self, tenant: TenantId, *, status: State | None = None) -> list[Volume]:
        """Return a tenant's volumes, the last used first."""
        query = select(VolumeRow).where(VolumeRow.tenant == tenant)
        if status is not None:
            query = query.where(VolumeRow.status == status)
        with self._database.reading() as session:
            rows = session.scalars(query.order_by(VolumeRow.used.desc(), VolumeRow.session))
            return [_volume(row) for row in rows]

    def sanitise(self, tenant: TenantId, session: str) -> Volume:
        """Overwrite what a session keeps, now; its next call begins with nothing.

        Raises:
            NotFound: the tenant has no such volume.
            Refused: a call is using it.
        """
        with self._database.reading() as reading:
            if reading.get(VolumeRow, (tenant, session)) is None:
                raise NotFound(f"no volume {session[:40]}", "`dryad tools volumes` lists them.")
        file = self._file(tenant, session)
        lock = _locked(file)
        try:
            _sanitise(file)
            now = self._clock()
            return self._move(tenant, session, status="sanitised", size_bytes=0, sanitised=now)
        finally:
            os.close(lock)

    def tidy(self, is_over: Callable[[str], bool], *, grace: timedelta, kept: timedelta) -> None:
        """Move each volume on that is due: its task ends, it is sanitised, deleted, forgotten.

        Safe to be killed in, and to repeat.

        Args:
            is_over: Whether a task has ended.
            grace: How long an orphaned volume is left as it is, for who wants to look at it.
            kept: How long a deleted one is remembered.
        """
        now = self._clock()
        with self._database.reading() as session:
            rows = session.scalars(select(VolumeRow)).all()
            found = [(TenantId(row.tenant), _volume(row)) for row in rows]
        for tenant, volume in found:
            place = (tenant, volume.session)
            if volume.status == "active" and is_over(volume.task):
                self._move(*place, status="orphaned", used=now)
            elif volume.status == "orphaned" and volume.used < now - grace:
                with suppress(Refused):  # somebody uses it again; the next round looks again
                    self.sanitise(*place)
            elif volume.status == "sanitised":
                self._file(*place).with_suffix(".lock").unlink(missing_ok=True)
                self._move(*place, status="deleted", deleted=now)
            elif volume.deleted is not None and volume.deleted < now - kept:
                with self._database.transaction() as session:
                    row = session.get(VolumeRow, place)
                    if row is not None and row.status == "deleted":
                        session.delete(row)

    def _file(self, tenant: TenantId, session: str) -> Path:
        return self._root / tenant / f"{session}.zip"

    def _keep(self, errand: Errand, tool: str, file: Path, kept: Kept) -> None:
        size = sum(len(content) for content in kept.files.values())
        if kept.changed:
            if size > self._most:
                raise LimitExceeded(
                    f"{tool} would keep {size} bytes and may keep {self._most}; nothing is changed",
                    "DRYAD_VOLUME_BYTES is how much a session may keep.",
                )
            _replace(file, kept.files)
        with self._database.transaction() as session:
            self._note(session, errand, tool, size)

    def _note(self, session: Session, errand: Errand, tool: str, size: int) -> None:
        now = self._clock()
        row = session.get(VolumeRow, (errand.tenant, errand.session(tool)))
        if row is None:
            row = VolumeRow(
                tenant=errand.tenant,
                session=errand.session(tool),
                task=errand.task,
                agent=errand.agent,
                tool=tool,
                created=now,
            )
            session.add(row)
        row.status, row.size_bytes, row.used = "active", size, now
        row.sanitised = row.deleted = None

    def _move(self, tenant: TenantId, name: str, **values: object) -> Volume:
        with self._database.transaction() as session:
            session.execute(
                update(VolumeRow)
                .where(VolumeRow.tenant == tenant, VolumeRow.session == name)
                .values(**values)
            )
            return _volume(session.get_one(VolumeRow, (tenant, name)))


def _volume(row: VolumeRow) -> Volume:
    return Volume(**{name: getattr(row, name) for name in Volume.__dataclass_fields__})


def _locked(file: Path) -> int:
    """Return the descriptor that holds a volume; whoever dies lets go of it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        place = file.with_suffix(".lock")
        lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if time.monotonic() > deadline:
                raise Refused("another call of this session is under way") from error
            time.sleep(0.05)
            continue
        if place.exists() and os.fstat(lock).st_ino == place.stat().st_ino:
            return lock
        os.close(lock)  # it was deleted under us


def _read(file: Path) -> dict[str, bytes]:
    if not file.exists():
        return {}
    try:
        with zipfile.ZipFile(file) as snapshot:
            return {name: snapshot.read(name) for name in snapshot.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise Corrupt(f"the volume {file.stem} is damaged") from error


def _replace(file: Path, files: Mapping[str, bytes]) -> None:
    """Put a new snapshot in place of the old one, then overwrite the old one's bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as snapshot:
        for name, content in sorted(files.items()):
            snapshot.writestr(name, content)
    beside = file.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as new:
        new.write(packed.getbuffer())
        new.flush()
        os.fsync(new.fileno())
    old = os.open(file, os.O_RDWR) if file.exists() else None
    beside.replace(file)
    if old is not None:
        _overwrite(old)


def _sanitise(file: Path) -> None:
    for place in (file, file.with_suffix(".new")):
        if place.exists():
            _overwrite(os.open(place, os.O_RDWR))
            place.unlink()


def _overwrite(descriptor: int) -> None:
    """Write zeros over all of an open file, and close it."""
    try:
        left = os.fstat(descriptor).st_size
        os.lseek(descriptor, 0, os.SEEK_SET)
        while left > 0:
            left -= os.write(descriptor, bytes(min(left, _BLOCK)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
