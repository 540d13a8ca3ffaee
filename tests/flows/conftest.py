"""A Prefect server in process, and an installation for flows to work in."""

import gc
import warnings
from collections.abc import Generator
from pathlib import Path

import pytest
from prefect.settings import get_current_settings
from prefect.testing.utilities import prefect_test_harness

from dryad.bootstrap import Services
from dryad.foundation.database import migrate
from dryad.foundation.ids import TenantId
from dryad.foundation.secrets import Secrets
from tasks import _services


@pytest.fixture(scope="session")
def prefect_harness() -> Generator[None]:
    """Let flows of this session run against a server of their own."""
    with prefect_test_harness(server_startup_timeout=120):
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # connections that Prefect left open; after the last test they would be errors


@pytest.fixture
def installation(
    prefect_harness: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Services]:
    """The services that flows find in this process: an empty ledger and the tenant `acme`."""
    monkeypatch.setenv("DRYAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DRYAD_INGEST_PATHS", str(tmp_path))
    monkeypatch.setenv("DRYAD_PREFECT_API_URL", str(get_current_settings().api.url))
    Secrets.create_or_read(tmp_path / "home" / "secrets")  # as the first `dryad up` does
    for opened in (_services.services, _services.runs):
        opened.cache_clear()
    services = _services.services()
    migrate.upgrade(services.database)
    services.tenants.create(TenantId("acme"), "Acme")
    yield services
    services.close()
    if _services.runs.cache_info().currsize:
        _services.runs().close()
    gc.collect()  # connections that Prefect left open, while tests here still let them pass
    for opened in (_services.services, _services.runs):
        opened.cache_clear()
