"""Connections and transactions, alike on SQLite and PostgreSQL."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from dryad.foundation.errors import InvalidRequest, Unavailable


class Database:
    """One pool of connections of this process. Open it after a fork, never before.

    Every writing transaction on SQLite begins IMMEDIATE, so two writers wait for each other
    instead of failing half way.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 20,
        overflow: int = 40,
        timeout: timedelta = timedelta(seconds=15),
    ) -> None:
        self.url = make_url(url)
        if self.url.get_backend_name() not in {"sqlite", "postgresql"}:
            raise InvalidRequest(
                f"the database must be sqlite or postgresql, not {self.url.get_backend_name()}"
            )
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        seconds = timeout.total_seconds()
        if self.is_sqlite:
            self.engine = _sqlite_engine(str(self.url.database), pool_size, overflow, seconds)
        else:
            self.engine = create_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=overflow,
                pool_timeout=seconds,
                pool_pre_ping=True,
                connect_args={"connect_timeout": max(2, int(seconds))},
            )

    @contextmanager
    def transaction(self) -> Generator[Session]:
        """Commit what the block did, all or nothing.

        Raises:
            Unavailable: the database is down, locked too long, full, or out of connections.
        """
        with self._session(writing=True) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Generator[Session]:
        """Read one consistent snapshot; nothing the block does is kept."""
        with self._session(writing=False) as session:
            yield session

    @contextmanager
    def _session(self, *, writing: bool) -> Generator[Session]:
        engine = self.engine.execution_options(dryad_writes=writing)
        try:
            with Session(engine, expire_on_commit=False) as session:
                yield session
        except PoolTimeout as error:
            raise Unavailable(
                "all database connections are in use",
                "Raise DRYAD_POOL_SIZE or DRYAD_POOL_OVERFLOW, or start fewer processes.",
            ) from error
        except OperationalError as error:
            raise Unavailable(f"the database did not answer: {_brief(error)}") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Unavailable(f"the database connection broke: {_brief(error)}") from error
            raise

    def ping(self) -> None:
        """Prove that the database answers.

        Raises:
            Unavailable: it does not.
        """
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def _brief(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0][:200]


def _sqlite_engine(path: str, pool_size: int, overflow: int, seconds: float) -> Engine:
    if path not in {"", ":memory:"}:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=pool_size,
        max_overflow=overflow,
        pool_timeout=seconds,
        connect_args={"timeout": seconds, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # what was acknowledged survives a power cut
            "foreign_keys=ON",
            "secure_delete=ON",  # what is deleted is overwritten; not every build does by itself
            f"busy_timeout={int(seconds * 1000)}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        writes = connection.get_execution_options().get("dryad_writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
