"""What every test may ask for: an empty ledger on SQLite and on PostgreSQL."""

import itertools
from collections.abc import Generator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from dryad.foundation.database import Database
from dryad.foundation.database.models import Base
from tests import servers, services
from tests.withstood import (
    pytest_runtest_logreport,  # noqa: F401 - hooks, found by their names
    pytest_terminal_summary,  # noqa: F401 - as above
)

SLOW_FOLDERS = {"e2e": pytest.mark.e2e, "flows": pytest.mark.prefect}

_databases = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by its folder, so that nobody can forget to."""
    tests = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(tests).parts[0]
        if folder in SLOW_FOLDERS:
            item.add_marker(SLOW_FOLDERS[folder])


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The URL of a real PostgreSQL, without a database name."""
    services.need("postgres")
    with servers.postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def prefect_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[servers.PrefectServer]:
    """A real Prefect server, with a password and nothing registered."""
    with servers.prefect(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on each technology."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'dryad.db'}"
    server = request.getfixturevalue("postgres_server")
    name = f"test_{next(_databases)}"
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"


@pytest.fixture
def database(database_url: str) -> Generator[Database]:
    """An open ledger with every table and no row."""
    database = Database(database_url)
    Base.metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[servers.Killable]:
    """A real Redis that no test kills."""
    with servers.redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[servers.Killable]:
    """A real Chroma that no test kills."""
    with servers.chroma(tmp_path_factory.mktemp("chroma")) as server:
        yield server
