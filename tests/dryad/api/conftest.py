"""A real API server on a free port, on SQLite and on PostgreSQL, with two tenants."""

import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn

from dryad.api.app import create_app
from dryad.bootstrap import Services
from dryad.foundation import environment as reader
from dryad.foundation.database.models import Base
from dryad.foundation.keys import SCOPES
from dryad.foundation.provision import provision
from dryad.foundation.settings import Settings
from dryad.orchestration.review.questions import StoredAnswers
from dryad.runs import Runs
from tests.servers import free_port, wait_for

TENANT_SCOPES = tuple(scope for scope in SCOPES if scope != "operator")


@dataclass
class House:
    """An installation that serves: its inside and its outside."""

    environ: dict[str, str]
    settings: Settings
    services: Services
    url: str

    def client(self, key: str | None) -> httpx.Client:
        """Return a caller from outside who shows `key`."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def key(self, tenant: str, *scopes: str) -> str:
        """Make a key of a tenant."""
        return self.services.keys.create(tenant, "test", scopes or TENANT_SCOPES).text


@contextmanager
def serving(
    home: Path, database_url: str, *, answers: StoredAnswers | None = None, **more: str
) -> Generator[House]:
    """Serve an empty installation with the tenants `default`, `acme` and `globex`.

    Prefect is down. Without `answers` it is asked for answers given in forms all the same.
    """
    environ = {
        "DRYAD_HOME": str(home),
        "DRYAD_DATABASE_URL": database_url,
        "DRYAD_API_PORT": str(free_port()),
        "DRYAD_PREFECT_PORT": str(free_port()),  # nobody is there: Prefect is down
        "DRYAD_DATABASE_TIMEOUT": "5s",
        **more,
    }
    settings, _ = reader.load(environ, directory=home)
    runs = Runs(settings.prefect_url, patience=timedelta(0), timeout=timedelta(seconds=5))
    with closing(Services(settings, answers=answers or runs, component="api")) as services:
        Base.metadata.create_all(services.database.engine)
        provision(services.database, services.secrets)
        for tenant in ("acme", "globex"):
            services.tenants.create(tenant, tenant.title())
        config = uvicorn.Config(
            create_app(services, runs), port=settings.api_port, log_level="error", access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            wait_for("the API", lambda: server.started)
            yield House(environ, settings, services, f"http://127.0.0.1:{settings.api_port}")
        finally:
            server.should_exit = True
            thread.join()
            runs.close()


@pytest.fixture
def answers() -> StoredAnswers | None:
    """Where answers given in forms lie; None: on the server, which is down."""
    return None


@pytest.fixture
def house(tmp_path: Path, database_url: str, answers: StoredAnswers | None) -> Generator[House]:
    with serving(tmp_path / "home", database_url, answers=answers) as house:
        yield house


@pytest.fixture
def acme(house: House) -> Generator[httpx.Client]:
    """A caller of `acme` with every scope of a tenant."""
    with house.client(house.key("acme")) as client:
        yield client


@pytest.fixture
def globex(house: House) -> Generator[httpx.Client]:
    """A caller of `globex` with every scope of a tenant."""
    with house.client(house.key("globex")) as client:
        yield client


@pytest.fixture
def operator(house: House) -> Generator[httpx.Client]:
    """The local operator."""
    with house.client(house.services.secrets.operator_key) as client:
        yield client


@pytest.fixture
def stranger(house: House) -> Generator[httpx.Client]:
    """A caller without a key."""
    with house.client(None) as client:
        yield client
