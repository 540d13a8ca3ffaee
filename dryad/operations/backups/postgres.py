"""PostgreSQL through its own tools: dump, restore, and what must be asked of the server."""

import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from dryad.foundation.errors import Unavailable
from dryad.operations.backups.facts import ledger_positions

_MAINTENANCE = "postgres"
_NAME_KEPT = 30
"""PostgreSQL cuts names at 63 bytes."""


class Cluster:
    """The server of one database, seen from outside."""

    def __init__(self, url: str, tools: Path | None) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._tools = tools

    @property
    def database(self) -> str:
        """Name of the database."""
        return str(self._url.database)

    def named(self, database: str) -> str:
        """Return the URL of another database of the same server."""
        return self._url.set(database=database).render_as_string(hide_password=False)

    def size_bytes(self) -> int:
        """Return how much the database takes up on its disk."""
        with self._connected() as connection:
            return int(
                connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
            )

    def version(self) -> str:
        """Return the server's version, as in `18.1`."""
        with self._connected() as connection:
            return str(connection.execute(text("SHOW server_version")).scalar_one())

    @contextmanager
    def dump(self) -> Generator[tuple[IO[bytes], dict[str, int], dict[str, Any]]]:
        """Give the database as `pg_dump` writes it, with the rows of each table.

        Dump and counts see the same moment: they share an exported snapshot.

        Raises:
            Unavailable: the server or `pg_dump` failed.
        """
        with self._connected() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            moment = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            counts, positions = _facts(connection)
            # -Z0: zstd packs better and seven times faster than pg_dump would.
            command = self._command(
                "pg_dump", self._url, "-Fc", "-Z0", "--no-owner", "--no-acl", f"--snapshot={moment}"
            )
            with self._started("pg_dump", command, stdout=subprocess.PIPE) as process:
                yield cast("IO[bytes]", process.stdout), counts, positions

    @contextmanager
    def restore(self, database: str) -> Generator[IO[bytes]]:
        """Take a dump and put it into a fresh, empty database of this server: all, or nothing.

        Raises:
            Unavailable: the server or `pg_restore` failed.
        """
        command = self._command(
            "pg_restore", self._url.set(database=database),
            "--exit-on-error", "--single-transaction", "--no-owner", "--no-acl",
        )  # fmt: skip
        with self._started("pg_restore", command, stdin=subprocess.PIPE) as process:
            stdin = cast("IO[bytes]", process.stdin)
            yield stdin
            stdin.close()

    def facts(self, database: str) -> tuple[dict[str, int], dict[str, Any]]:
        """Return the rows of each table of a database, and how far its ledger has come."""
        with self._connected(database) as connection:
            return _facts(connection)

    def create(self, database: str) -> None:
        """Make an empty database.

        Raises:
            Unavailable: the server does not answer, or our role may not (`CREATEDB`).
        """
        self._administer(f'CREATE DATABASE "{database}" TEMPLATE template0')

    def drop(self, database: str) -> None:
        """Remove a database; one that is gone is as good."""
        self._administer(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def rename(self, old: str, new: str) -> None:
        """Give a database another name; whoever is connected to it is thrown out."""
        self._administer(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'",  # noqa: S608 - ours
            f'ALTER DATABASE "{old}" RENAME TO "{new}"',
        )

    def databases(self) -> set[str]:
        """Return the name of every database of the server."""
        with self._connected(_MAINTENANCE) as connection:
            return set(connection.execute(text("SELECT datname FROM pg_database")).scalars())

    def leftovers(self, use: str) -> list[str]:
        """Return the databases that were made beside this one for a use, whoever made them.

        None for a long name: another database could begin the same.
        """
        if len(self.database) > _NAME_KEPT:
            return []
        prefix = prefix_of(self.database, use)
        return sorted(name for name in self.databases() if name.startswith(prefix))

    # -- helpers

    def _administer(self, *statements: str) -> None:
        with self._connected(_MAINTENANCE) as connection:
            connection.rollback()
            connection.execution_options(isolation_level="AUTOCOMMIT")
            for statement in statements:
                connection.execute(text(statement))

    @contextmanager
    def _connected(self, database: str | None = None) -> Generator[Connection]:
        url = self._url if database is None else self._url.set(database=database)
        engine = create_engine(url, connect_args={"connect_timeout": 15})
        try:
            with engine.connect() as connection:
                yield connection
        except (OperationalError, DBAPIError) as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise Unavailable(
                f"PostgreSQL refused: {reason}",
                "See that it runs and that our role may do this; restores need CREATEDB.",
            ) from error
        finally:
            engine.dispose()

    def _command(self, name: str, url: URL, *options: str) -> list[str]:
        """The password travels in the environment: arguments are for every user to see."""
        public = url.set(drivername="postgresql", password=None).render_as_string()
        return [tool(name, self._tools), *options, f"--dbname={public}"]

    @contextmanager
    def _started(
        self, name: str, command: list[str], *, stdin: int | None = None, stdout: int | None = None
    ) -> Generator["subprocess.Popen[bytes]"]:
        password = {"PGPASSWORD": str(self._url.password)} if self._url.password else {}
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command, stderr=said, env={"LC_ALL": "C", **password}, stdin=stdin, stdout=stdout
            )
            try:
                yield process
                process.wait()
            except BrokenPipeError as error:  # it ended before it had read all
                process.wait()
                raise Unavailable(f"{name} failed: {_last(said)}") from error
            finally:
                process.kill()
                process.wait()
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        with suppress(BrokenPipeError):
                            stream.close()
            if process.returncode != 0:
                raise Unavailable(f"{name} failed: {_last(said)}")


def prefix_of(database: str, use: str) -> str:
    """Return how the names of databases begin that are made beside one for a use."""
    return f"{database[:_NAME_KEPT]}_{use}_"


def tool(name: str, tools: Path | None) -> str:
    """Return the path of one of PostgreSQL's own programs.

    Raises:
        Unavailable: it is not installed here.
    """
    found = shutil.which(name, path=None if tools is None else str(tools))
    if found is None:
        raise Unavailable(
            f"{name} is not installed here",
            "Install PostgreSQL's client, at least as new as the server, or set "
            "DRYAD_POSTGRES_TOOLS to its directory.",
        )
    return found


def _last(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "?")


def _facts(connection: Connection) -> tuple[dict[str, int], dict[str, Any]]:
    names = connection.execute(
        text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    ).scalars()
    counts = {
        name: int(connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one())  # noqa: S608 - names of the schema
        for name in list(names)
    }
    return counts, ledger_positions(
        set(counts), lambda sql: [tuple(row) for row in connection.execute(text(sql))]
    )
