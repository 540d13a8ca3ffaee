"""What must hold before anything is started; each refusal says what to do."""

import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from dryad.foundation.errors import Refused, Unavailable
from dryad.foundation.settings import Settings

OLDEST, NEWEST = (3, 11), (3, 14)


@dataclass(frozen=True)
class Port:
    """A port one of our processes will listen on."""

    number: int
    what: str
    setting: str


def ports(settings: Settings) -> list[Port]:
    """Return the ports this installation needs for itself."""
    needed = [Port(settings.api_port, "the DRYAD API", "DRYAD_API_PORT")]
    if settings.prefect_api_url is None:
        needed.append(Port(settings.prefect_port, "the Prefect server", "DRYAD_PREFECT_PORT"))
    if settings.chroma == "managed":
        needed.append(Port(settings.chroma_port, "the Chroma server", "DRYAD_CHROMA_PORT"))
    return needed


def check(settings: Settings) -> None:
    """Refuse what cannot work.

    Raises:
        Refused: this Python is not supported.
        Unavailable: a directory cannot be written, the disk is almost full, or a port is taken.
    """
    check_python()
    check_writable(settings.home, "home", "DRYAD_HOME")
    check_writable(settings.logs_dir, "log directory", "DRYAD_LOGS")
    check_disk(settings.home, settings.min_free_disk_bytes)
    check_ports(settings.host, ports(settings))


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> None:
    """Refuse a Python that Prefect or DRYAD does not support."""
    if not OLDEST <= version <= NEWEST:
        raise Refused(
            f"Python {version[0]}.{version[1]} is not supported",
            f"Use Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}, "
            "for example `uv run --python 3.12 dryad up`.",
        )


def check_writable(directory: Path, what: str, setting: str) -> None:
    """Refuse a directory in which no file can be made."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise Unavailable(
            f"the {what} {directory} cannot be written: {error.strerror}",
            f"Make it writable, or set {setting} to a directory that is.",
        ) from error


def check_disk(home: Path, least_bytes: int) -> None:
    """Refuse to start on a disk that is almost full."""
    free = shutil.disk_usage(home).free
    if free < least_bytes:
        raise Unavailable(
            f"only {free / 1e6:.0f} MB are free at {home}, {least_bytes / 1e6:.0f} MB are needed",
            "Free some disk, move DRYAD_HOME, or lower DRYAD_MIN_FREE_DISK_BYTES.",
        )


def check_ports(host: str, needed: Iterable[Port]) -> None:
    """Refuse a port that somebody listens on, and say who."""
    for port in needed:
        try:
            _bind(host, port.number)
        except OSError as error:
            raise Unavailable(
                f"port {port.number} for {port.what} is not free: {_why(error, port.number)}",
                f"Stop what uses it, or set {port.setting} to another port.",
            ) from error


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _why(error: OSError, port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                return f"used by {_named(connection.pid)}"
    except psutil.Error:  # other users' connections are not shown everywhere
        pass
    return str(error.strerror or error)


def _named(pid: int | None) -> str:
    if pid is None:
        return "another user's process"
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        words = []
    return f"pid {pid} ({' '.join(words)[:100]})" if words else f"pid {pid}"
