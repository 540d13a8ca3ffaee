"""What going back to a moment asks of a PostgreSQL server, beyond dumps."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any, cast

from sqlalchemy import text

from dryad.operations.backups.postgres import Cluster


class Server(Cluster):
    """The server of one database, with all its databases and its log of what was written."""

    @property
    def user(self) -> str:
        """The role we come as."""
        return str(self._url.username)

    def position(self) -> tuple[datetime, str]:
        """Return its time, and the WAL segment it writes to now."""
        now, segment = self._ask("SELECT clock_timestamp(), pg_walfile_name(pg_current_wal_lsn())")
        return now, str(segment)

    def identity(self) -> int:
        """Return what tells one cluster from every other."""
        (found,) = self._ask("SELECT system_identifier FROM pg_control_system()")
        return int(found)

    def setting(self, name: str) -> str:
        """Return a setting of the server; '': it has none of that name."""
        (found,) = self._ask("SELECT coalesce(current_setting(:name, true), '')", name=name)
        return str(found)

    def may_replicate(self) -> bool:
        """Whether our role may take base backups."""
        (found,) = self._ask(
            "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        return bool(found)

    def all_bytes(self) -> int:
        """Return how much all its databases take up."""
        (found,) = self._ask("SELECT sum(pg_database_size(oid)) FROM pg_database")
        return int(found)

    def recovers(self) -> bool:
        """Whether it still replays its archive."""
        (found,) = self._ask("SELECT pg_is_in_recovery()")
        return bool(found)

    def close_segment(self) -> str:
        """Commit something and begin a new WAL segment; return the one that goes to the archive.

        Raises:
            Unavailable: the server does not answer, or our role may not.
        """
        self._ask("SELECT pg_current_xact_id()::text")
        (segment,) = self._ask("SELECT pg_walfile_name(pg_switch_wal())")
        return str(segment)

    @contextmanager
    def base_backup(self) -> Generator[IO[bytes]]:
        """Give the files of the whole cluster as a tar; ends when the WAL it needs is archived.

        Raises:
            Unavailable: the server or `pg_basebackup` failed.
        """
        command = self._command(
            "pg_basebackup", self._url,
            "--pgdata=-", "--format=tar", "--wal-method=none", "--checkpoint=fast", "--no-password",
        )  # fmt: skip
        with self._started("pg_basebackup", command, stdout=subprocess.PIPE) as process:
            yield cast("IO[bytes]", process.stdout)

    def _ask(self, sql: str, **values: str) -> Any:
        """Return the first row; what was asked for is committed."""
        with self._connected() as connection:
            row = connection.execute(text(sql), values).one()
            connection.commit()
            return row
