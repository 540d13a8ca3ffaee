"""A missing service is a skip with its reason, and a failure where it is required."""

import socket
from collections.abc import Generator

import pytest
from _pytest.outcomes import Failed, Skipped

from tests import services


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.setenv("PATH", "/nowhere")
    services._probe.cache_clear()
    yield
    services._probe.cache_clear()


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("service", ["bubblewrap", "browser", "docker"])
def test_a_missing_service_skips_and_a_required_one_fails(service: str):
    with pytest.raises(Skipped, match=f"{service}: no "):
        services.need(service, required=frozenset())
    with pytest.raises(Failed, match=f"{service} is required: no "):
        services.need(service, required=frozenset({service}))


def test_required_services_are_read_and_the_products_settings_removed():
    ours = {"PATH": "/bin", "DRYAD_TEST_SEED": "7"}
    environ = {"DRYAD_REQUIRE_SERVICES": "postgres,browser", "DRYAD_HOME": "/x", **ours}
    assert services.take_required(environ) == {"postgres", "browser"}
    assert environ == ours


@pytest.mark.parametrize("host", ["192.0.2.1", "dryad.invalid"])
def test_a_test_cannot_reach_another_machine(host: str):
    with pytest.raises(PermissionError, match=host):
        socket.create_connection((host, 80), timeout=5)


def test_a_test_reaches_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        assert client.getpeername() == server.getsockname()
