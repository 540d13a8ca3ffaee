"""Both databases as they were at a moment: a scratch server replays the archive up to there."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.engine import URL, make_url

from dryad.foundation.errors import Unavailable
from dryad.operations.backups import opening
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.postgres import tool
from dryad.operations.backups.sets import Backups, Listed
from dryad.operations.backups.sources import Stores
from dryad.operations.moments.archive import WalArchive
from dryad.operations.moments.base import Base, Bases
from dryad.operations.moments.check import arrived, require_postgres
from dryad.operations.moments.server import Server
from dryad.operations.restores.paths import restores

_PATIENCE_SECONDS = 4 * 3600
_POLL_SECONDS = 0.2
_PORT = 5432
"""Only part of a name: the server listens to nothing but a file in a directory of ours."""


def set_of(backups: Backups, bases: Bases, archive: WalArchive, moment: datetime) -> Listed:
    """Make a backup set of both databases as they were at a moment; it is restored like any other.

    Nothing that is live is written to. What has no archive, the files under the home, is as now.

    Raises:
        Refused: no base backup, or not every WAL segment, leads to the moment.
        Unavailable: a server, a target or the disk failed.
    """
    require_postgres(backups.stores)
    base = bases.before(moment)
    with suppress(Unavailable):  # on a bare machine it was never there
        arrived(archive, bases.server.close_segment())
    archive.require(base.first, moment)
    _require_room(backups.stores.home, base)
    place = restores(backups.stores.home) / f"moment-{secrets.token_hex(4)}"
    place.mkdir(mode=0o700, parents=True)
    try:
        with TemporaryDirectory(prefix="dryad-pg-") as socket:  # a socket's path must be short
            stores = _moved(backups.stores, socket)
            data = _unpacked(base, backups.key, place)
            with _replayed(data, archive, moment, socket, stores):
                then = replace(backups, stores=stores, clock=lambda: moment)
                made = then.create(Purpose(kind="moment", reason=f"as of {moment.isoformat()}"))
    finally:
        shutil.rmtree(place)
    return backups.find(made.manifest.id)


def _moved(stores: Stores, socket: str) -> Stores:
    """Return the same stores in the scratch server."""

    def there(url: str) -> str:
        known = make_url(url)
        moved = URL.create(
            known.drivername,
            username=known.username,
            database=known.database,
            query={"host": socket, "port": str(_PORT)},
        )
        return moved.render_as_string()

    prefect = stores.prefect_database
    return replace(
        stores,
        database=there(stores.database),
        prefect_database=None if prefect is None else there(prefect),
    )


def _unpacked(base: Base, key: BackupKey, place: Path) -> Path:
    packed = opening.open_file(base.target, base.manifest, base.part, key, place / "cluster.tar")
    data = place / "data"
    opening.unpack_files(packed, data)
    packed.unlink()
    return data


@contextmanager
def _replayed(
    data: Path, archive: WalArchive, moment: datetime, socket: str, stores: Stores
) -> Generator[None]:
    """Run a server on the unpacked files that nobody but us can reach, while it is at the moment.

    `pg_ctl -w start` would return 0 before a moment that cannot be reached ends the server.
    """
    place, server = data.parent, Server(stores.database, stores.postgres_tools)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": socket,
        "port": str(_PORT),
        "unix_socket_permissions": "0700",
        "archive_mode": "off",
        "fsync": "off",  # what would be lost with it is made again
        "hot_standby": "off",  # so that nothing must be as large as it was there
        "hba_file": str(place / "hba.conf"),
        "restore_command": f'cp "{archive.directory}/%f" "%p"',
        "recovery_target_time": f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00",
        "recovery_target_action": "promote",
    }
    (place / "hba.conf").write_text("local all all trust\n")
    (place / "server.conf").write_text("".join(f"{k} = '{v}'\n" for k, v in options.items()))
    (data / "recovery.signal").touch()
    (data / "postgresql.auto.conf").write_text("")  # it was for there, and would win
    with (place / "log").open("w+b") as said:
        process = subprocess.Popen(
            [tool("postgres", archive.tools), "-D", str(data),
             "-c", f"config_file={place / 'server.conf'}"],
            env={"LC_ALL": "C", "PATH": os.defpath},
            stdout=said,
            stderr=said,
        )  # fmt: skip
        try:
            _await(server, process, place / "log")
            yield
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def _await(server: Server, process: "subprocess.Popen[bytes]", said: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(Unavailable):  # until the moment is reached nobody is let in
            if not server.recovers():
                return
        time.sleep(_POLL_SECONDS)
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines()]
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
    because = (fatal or lines[-1:] or ["it took too long"])[0]
    raise Unavailable(f"the moment was not reached: {because}", "Nothing was changed.")


def _require_room(home: Path, base: Base) -> None:
    """The unpacked cluster lies beside its archive for a while."""
    free, wanted = shutil.disk_usage(home).free, 2 * base.part.plain_bytes
    if free < wanted:
        raise Unavailable(
            f"{free / 1e6:,.0f} MB are free, the cluster of that moment needs "
            f"{wanted / 1e6:,.0f} MB for a while",
            "Free some disk where the home is; nothing was changed.",
        )
