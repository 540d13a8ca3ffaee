"""Every reason not to start is found before anything is, and says what to do."""

import os
import socket
from pathlib import Path

import pytest

from dryad.foundation.environment import load
from dryad.foundation.errors import Refused, Unavailable
from dryad.platform import preflight
from dryad.platform.preflight import Port
from tests.servers import free_port


def test_a_port_in_use_is_told_with_who_uses_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {number} for the API is not free") as caught:
            preflight.check_ports("127.0.0.1", [Port(number, "the API", "DRYAD_API_PORT")])
    assert f"pid {os.getpid()}" in caught.value.message
    assert "DRYAD_API_PORT" in caught.value.next_step


def test_a_free_port_is_fine() -> None:
    preflight.check_ports("127.0.0.1", [Port(free_port(), "the API", "DRYAD_API_PORT")])


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(Unavailable, match="cannot be written") as caught:
        preflight.check_writable(blocked / "home", "home", "DRYAD_HOME")
    assert "DRYAD_HOME" in caught.value.next_step


def test_a_full_disk_is_told_with_both_numbers(tmp_path: Path) -> None:
    preflight.check_disk(tmp_path, 1)
    with pytest.raises(Unavailable, match="MB are free at"):
        preflight.check_disk(tmp_path, 10**15)


@pytest.mark.parametrize("version", [(3, 10), (3, 15)])
def test_an_unsupported_python_is_refused(version: tuple[int, int]) -> None:
    with pytest.raises(Refused, match="is not supported"):
        preflight.check_python(version)


@pytest.mark.parametrize("version", [(3, 11), (3, 14)])
def test_a_supported_python_is_not(version: tuple[int, int]) -> None:
    preflight.check_python(version)


def test_an_existing_prefect_server_needs_no_port_here(tmp_path: Path) -> None:
    own, _ = load({}, directory=tmp_path)
    other, _ = load({"DRYAD_PREFECT_API_URL": "http://prefect.test/api"}, directory=tmp_path)
    assert [port.number for port in preflight.ports(own)] == [8000, 4200]
    assert [port.number for port in preflight.ports(other)] == [8000]
