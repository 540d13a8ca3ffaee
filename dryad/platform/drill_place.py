"""Where a drill makes its scratch installation, and how that goes again, also after a `kill -9`.

A drill writes down what is its own before it makes it, and holds a lock, which the kernel takes
from the dead. So whoever has the lock and finds a record knows what a killed drill left.
"""

import fcntl
import os
import secrets
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
from pydantic import SecretStr

from dryad.foundation import logs
from dryad.foundation.errors import Conflict
from dryad.foundation.settings import Settings
from dryad.operations.backups.manifest import PartName
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.targets import sync_directory
from dryad.platform.instance import kill_tree

_LOCK, _RECORD, _PREFIX = "drill.lock", "drill.json", "dryad-drill-"
_OWNED: dict[PartName, str] = {"dryad": "database_url", "prefect": "prefect_database_url"}

log = logs.get_logger("drill")


@dataclass(frozen=True)
class _Mine:
    """What a drill makes outside its own memory."""

    place: str
    """Directory beside the live home."""
    databases: dict[PartName, str]
    """Part → name of its database on the live server."""

    @property
    def home(self) -> Path:
        return Path(self.place) / "home"


@contextmanager
def scratch_installation(settings: Settings, stores: Stores) -> Generator[Settings]:
    """Give the settings of an installation that exists for one drill only.

    Raises:
        Conflict: another drill of this installation is at work.
        Unavailable: what a killed drill left cannot be removed yet.
    """
    with _alone(settings.home):
        _sweep(settings.home, stores)
        token = secrets.token_hex(4)
        place = settings.home.parent / f"{_PREFIX}{token}"
        mine = _Mine(
            str(place),
            {
                part: f"drill_{token}_{part}"
                for part in _OWNED
                if stores.url(part) and not stores.is_sqlite(part)
            },
        )
        _write(settings.home, mine)
        try:
            mine.home.mkdir(mode=0o700, parents=True)
            place.chmod(0o700)
            yield settings.model_copy(update=_changed(mine, stores))
        finally:
            _sweep(settings.home, stores)


def sweep(settings: Settings, stores: Stores) -> bool:
    """Remove what a killed drill left, and nothing else; return whether there was anything.

    A drill at work keeps what it has.

    Raises:
        Unavailable: its databases cannot be dropped now; the next sweep tries again.
    """
    if not _record(settings.home).exists():
        return False
    try:
        with _alone(settings.home):
            return _sweep(settings.home, stores)
    except Conflict:
        return False


def _sweep(home: Path, stores: Stores) -> bool:
    try:
        mine = _Mine(**orjson.loads(_record(home).read_bytes()))
    except FileNotFoundError:
        return False
    place = Path(mine.place)
    if place.parent != home.parent or not place.name.startswith(_PREFIX):
        log.error("drill_record_not_ours", place=mine.place)
    else:
        _end_processes(mine.home)
        _drop(stores, mine.databases)
        shutil.rmtree(place, ignore_errors=True)
        log.info("drill_cleared_away", place=mine.place, databases=[*mine.databases.values()])
    _record(home).unlink()
    return True


def _drop(stores: Stores, databases: dict[PartName, str]) -> None:
    """Drop a drill's databases, and those a restore into them had beside them."""
    for part, name in databases.items():
        url = stores.url(part)
        if url is None or stores.is_sqlite(part):
            continue  # what it was is not configured any more
        cluster = stores.cluster(url)
        for database in cluster.databases():
            if database == name or database.startswith(f"{name}_"):
                cluster.drop(database)


def _end_processes(home: Path) -> None:
    """Kill what works for a scratch installation: each of its processes is told its home."""
    while found := [process.pid for process in psutil.process_iter() if _works_for(process, home)]:
        for pid in found:
            kill_tree(pid)


def _works_for(process: psutil.Process, home: Path) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        living = process.status() != psutil.STATUS_ZOMBIE
        return living and process.environ().get("DRYAD_HOME") == str(home)
    except psutil.Error:  # gone meanwhile, or another user's
        return False


def _changed(mine: _Mine, stores: Stores) -> dict[str, Any]:
    """Return the settings in which the scratch installation differs from the live one."""
    changed: dict[str, Any] = {
        "home": mine.home,
        "logs": Path(mine.place) / "logs",
        "audit_anchor": mine.home / "audit-heads",
        "prefect_api_url": None,
        "database_url": None,
        "prefect_database_url": None,
        "host": "127.0.0.1",
        "api_url": None,
        "api_port": _free_port(),
        "prefect_port": _free_port(),
        "redis_url": None,
        "chroma": "embedded",
    }
    for part, name in mine.databases.items():
        cluster = stores.cluster(str(stores.url(part)))
        changed[_OWNED[part]] = SecretStr(cluster.named(name))
    return changed


def _write(home: Path, mine: _Mine) -> None:
    draft = _record(home).with_suffix(".new")
    draft.write_bytes(orjson.dumps(asdict(mine)))
    draft.replace(_record(home))
    sync_directory(draft.parent)


def _record(home: Path) -> Path:
    return home / "run" / _RECORD


@contextmanager
def _alone(home: Path) -> Generator[None]:
    directory = home / "run"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / _LOCK).open("a") as handle:  # no child inherits it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "another drill of this installation is at work",
                "Wait until it is done; one works at a time.",
            ) from error
        yield


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
