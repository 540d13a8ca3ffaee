"""What an attack would want: planted files, processes and servers of the host, watched."""

import json
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_LONG_AGO = 1_000_000_000


class World:
    """The host as attacks find it, and whether they left it alone."""

    def __init__(self, folder: Path, token: str, stack: ExitStack) -> None:
        self.folder = folder
        self.token = token
        folder.chmod(0o755)
        home = folder / ".dryad" / "secrets"
        home.mkdir(parents=True)
        self.secret = home / "key"
        self.secret.write_text(token)
        self.open_folder = folder / "open"
        self.open_folder.mkdir()
        self.open_folder.chmod(0o777)
        self.target = self.open_folder / "target"
        self.target.write_text("untouched")
        self.target.chmod(0o666)
        os.utime(self.target, (_LONG_AGO, _LONG_AGO))
        self.shared = Path("/dev/shm") / f"dryad-{token[:12]}"
        self.shared.write_text(token)
        self.shared.chmod(0o666)
        stack.callback(self.shared.unlink)
        self.leak = os.open(self.secret, os.O_RDONLY)
        os.set_inheritable(self.leak, True)
        stack.callback(os.close, self.leak)
        self.neighbour = self._start_neighbour(stack)
        self.servers = self._listen(stack)
        self._before = self._state()

    def _start_neighbour(self, stack: ExitStack) -> "subprocess.Popen[bytes]":
        code = "import sys, time; print(flush=True); time.sleep(900)"
        neighbour = subprocess.Popen(
            [sys.executable, "-c", code, f"neighbour-{self.token}"],
            stdout=subprocess.PIPE,
            env={"NEIGHBOUR": self.token},
        )
        assert neighbour.stdout is not None
        neighbour.stdout.readline()
        neighbour.stdout.close()
        stack.callback(neighbour.wait)
        stack.callback(neighbour.kill)
        return neighbour

    def _listen(self, stack: ExitStack) -> dict[str, socket.socket]:
        kinds = {
            "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "path": (socket.AF_UNIX, socket.SOCK_STREAM, str(self.open_folder / "socket")),
            "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0dryad-{self.token[:12]}"),
        }
        servers: dict[str, socket.socket] = {}
        for name, (family, kind, address) in kinds.items():
            server = stack.enter_context(socket.socket(family, kind))
            server.bind(address)
            if kind == socket.SOCK_STREAM:
                server.listen()
            servers[name] = server
        (self.open_folder / "socket").chmod(0o777)
        return servers

    def described(self) -> bytes:
        """What an attack is told, as JSON."""
        names = {name: server.getsockname() for name, server in self.servers.items()}
        return json.dumps(
            {
                "secret": str(self.secret),
                "size": len(self.token),
                "open": str(self.open_folder),
                "target": str(self.target),
                "shared": str(self.shared),
                "neighbour": self.neighbour.pid,
                "leak": self.leak,
                "tcp": names["tcp"][1],
                "tcp6": names["tcp6"][1],
                "udp": names["udp"][1],
                "path": names["path"],
                "abstract": names["abstract"].decode(),
                "project": str(Path(__file__).parents[5]),
            }
        ).encode()

    def assert_left_alone(self) -> None:
        """Assert that nothing planted was changed, contacted or signalled."""
        assert self._state() == self._before

    def _state(self) -> dict[str, object]:
        status = self.target.stat()
        contacted, _, _ = select.select(list(self.servers.values()), [], [], 0)
        stat = Path(f"/proc/{self.neighbour.pid}/stat").read_text().rpartition(")")[2].split()
        return {
            "content": self.target.read_text(),
            "target": (status.st_mode, status.st_uid, status.st_gid, status.st_mtime),
            "attributes": os.listxattr(self.target),
            "files": sorted(path.name for path in self.open_folder.iterdir()),
            "contacted": contacted,
            "neighbour": (self.neighbour.poll(), stat[0] == "T", stat[16]),
            "affinity": os.sched_getaffinity(self.neighbour.pid),
            "limits": Path(f"/proc/{self.neighbour.pid}/limits").read_text(),
            "shared": self.shared.read_text(),
            "host_name": os.uname().nodename,
        }


@contextmanager
def world() -> Generator[World]:
    """Plant everything; take it away afterwards."""
    token = secrets.token_hex(24)
    folder = Path(tempfile.mkdtemp(prefix="dryad-world-", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(_environment("DRYAD_TEST_SECRET", token))
        yield World(folder, token, stack)


@contextmanager
def _environment(name: str, value: str) -> Generator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def processes_with(text: str) -> list[int]:
    """Return the processes of this machine whose command line holds `text`."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in line:
                found.append(int(entry.name))
    return found
