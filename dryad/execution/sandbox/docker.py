"""Rung: a container of a local Docker engine, with the same things in sight as on other rungs.

The image is empty but for folders and links: programs, libraries and this Python are bound in
read-only from the host, so that nothing is downloaded and versions agree. The engine must therefore
be on this machine, behind a Unix socket.
"""

import asyncio
import contextlib
import hashlib
import io
import socket
import tarfile
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from dryad.execution.sandbox import identity, layout, supervise
from dryad.execution.sandbox.conversation import conversing
from dryad.execution.sandbox.orders import Setup
from dryad.execution.sandbox.port import (
    GUARANTEES,
    Guarantee,
    Limits,
    RungName,
    SandboxRequest,
    SandboxResult,
    Spoken,
    refuse_unless,
)
from dryad.foundation.errors import Unavailable

_REPOSITORY = "dryad-sandbox"
_GUEST_BYTES = 64_000_000
"""What the guest itself may use beside the run."""
_SHARED_BYTES = 16_000_000
_PING_SECONDS = 5
_CALL_SECONDS = 60
_HEADER = 8
_STDERR = 2


class DockerSandbox:
    """A container without network, capabilities or writable files, under kernel-kept limits.

    Raises:
        Unavailable: no engine answers, or it is not on this machine.
    """

    name: RungName = "docker"
    guarantees: frozenset[Guarantee] = frozenset(GUARANTEES)

    def __init__(self) -> None:
        self._api = _connect()
        weakref.finalize(self, self._api.close)
        self._image = ""

    async def run(self, request: SandboxRequest) -> SandboxResult:
        """Run one request; see `Sandbox.run`."""
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        guest = await self._start(request.limits)
        return await supervise.run(guest, request, supervise.order(request), rung=self.name)

    @asynccontextmanager
    async def converse(self, request: SandboxRequest) -> AsyncGenerator[Spoken]:
        """Start a program to speak to; see `Sandbox.converse`."""
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        guest = await self._start(request.limits)
        order = supervise.order(request)
        async with conversing(guest, request, order, rung=self.name) as spoken:
            yield spoken

    async def _start(self, limits: Limits) -> supervise.Guest:
        user = identity.nobody()
        try:
            if not self._image:
                self._image = await asyncio.to_thread(_import_image, self._api)
            container, stream = await asyncio.to_thread(self._create, limits, user)
        except Exception as error:
            raise Unavailable(f"the docker engine refused: {_first_line(error)}") from error
        channel = _Frames(stream)
        guest = supervise.Guest(self.name, channel, _Container(self._api, container, channel))
        setup: Setup = {
            "room": None,
            "become": None,
            "box": layout.BOX,
            "bounded": False,
            "measured": True,
            "alone": True,
            "reply": 1,
            "confinement": supervise.confinement(),
            "waiting": [],
        }
        await guest.become_ready(setup)
        return guest

    def _create(self, limits: Limits, user: int) -> tuple[str, socket.socket]:
        """Create and start a container; return its id and the stream to its first process."""
        seen = layout.layout()
        private = f"nosuid,nodev,uid={user},gid={user},mode=700"
        disk = f"size={max(1, limits.disk_bytes // 4096) * 4096},nr_inodes={limits.disk_files + 5}"
        memory = limits.memory_bytes + _GUEST_BYTES
        host = self._api.create_host_config(
            auto_remove=True,
            binds=[f"{source}:{target}:ro" for source, target in seen.binds],
            cap_drop=["ALL"],
            ipc_mode="none",
            mem_limit=memory,
            memswap_limit=memory,
            network_mode="none",
            pids_limit=limits.processes + 2,
            read_only=True,
            security_opt=["no-new-privileges"],
            tmpfs={
                layout.BOX: f"{disk},exec,{private}",
                "/dev/shm": f"size={_SHARED_BYTES},nr_inodes=64,{private}",  # noqa: S108 - inside
            },
        )
        created = self._api.create_container(
            self._image,
            command=list(supervise.guest_command()),
            environment={},
            host_config=host,
            hostname="sandbox",
            network_disabled=True,
            stdin_open=True,
            user=f"{user}:{user}",
            working_dir="/",
        )
        container = str(created["Id"])
        try:
            wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            attached = self._api.attach_socket(container, params=wanted)
            self._api.start(container)
        except Exception:
            self._api.remove_container(container, force=True)
            raise
        return container, _plain_socket(attached)


def _connect() -> Any:
    """Return the client of the engine that the environment names, as the engine's own tools do."""
    import docker  # noqa: PLC0415 - dear, and only this rung needs it
    from docker.errors import DockerException  # noqa: PLC0415 - as above
    from docker.utils import kwargs_from_env, parse_host  # noqa: PLC0415 - as above

    try:
        address = str(parse_host(kwargs_from_env().get("base_url")))
    except DockerException as error:
        raise Unavailable(f"the docker engine's address is wrong: {error}") from error
    scheme, _, path = address.partition("://")
    if scheme != "http+unix":
        raise Unavailable(f"the docker engine at {address} is not on this machine")
    try:
        # The client leaves its socket open when nobody listens, so we knock first.
        with socket.socket(socket.AF_UNIX) as knock:
            knock.connect(path)
        api: Any = docker.from_env(timeout=_PING_SECONDS).api
    except (OSError, DockerException) as error:
        raise Unavailable(f"no docker engine answers at {path}: {_first_line(error)}") from error
    api.timeout = _CALL_SECONDS
    return api


def _import_image(api: Any) -> str:
    """Make sure the empty image is there; return its name."""
    seen = layout.layout()
    links = [link for link in seen.links if not link[0].startswith("/dev/")]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("box", "proc", "dev", "sys", "etc"):
            tar.addfile(_entry(folder, tarfile.DIRTYPE))
        for path, goal in links:
            tar.addfile(_entry(path.lstrip("/"), tarfile.SYMTYPE, goal))
    content = archive.getvalue()
    digest = hashlib.sha256(content).hexdigest()[:16]
    image = f"{_REPOSITORY}:{digest}"
    if not api.images(name=image):
        api.import_image_from_data(content, repository=_REPOSITORY, tag=digest)
    return image


def _entry(path: str, kind: bytes, goal: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.linkname = kind, 0o755, goal
    return entry


def _plain_socket(attached: Any) -> socket.socket:
    """Return the socket inside the client's file object, on its own."""
    inner = cast("socket.socket", getattr(attached, "_sock", attached))
    return socket.socket(fileno=inner.detach())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__


class _Frames(supervise.SocketChannel):
    """The engine's stream: each piece says in a header which descriptor it was printed on."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(end)
        self._raw = bytearray()
        self.words = b""

    async def receive(self) -> bytes:
        """Return the next bytes printed on stdout; see `Channel.receive`."""
        while True:
            size = int.from_bytes(self._raw[4:_HEADER], "big") + _HEADER
            if len(self._raw) < _HEADER or len(self._raw) < size:
                chunk = await super().receive()
                if not chunk:
                    return b""
                self._raw += chunk
                continue
            kind, piece = self._raw[0], bytes(self._raw[_HEADER:size])
            del self._raw[:size]
            if kind != _STDERR:
                return piece
            self.words = (self.words + piece)[-10_000:]


class _Container:
    """The container that holds the guest; see `supervise.Holder`."""

    def __init__(self, api: Any, container: str, channel: _Frames) -> None:
        self._api = api
        self._container = container
        self._channel = channel

    async def ended(self) -> bool:
        try:
            found = await asyncio.to_thread(self._api.inspect_container, self._container)
        except Exception:  # noqa: BLE001 - it is gone, or the engine that ran it
            return True
        return not found["State"]["Running"]

    async def until_ended(self) -> None:
        await supervise.look_until(self.ended)

    async def kill(self) -> None:
        with contextlib.suppress(Exception):  # the engine removes it by itself when it ended
            await asyncio.to_thread(self._api.remove_container, self._container, force=True)

    def last_words(self) -> bytes:
        return self._channel.words

    def release(self) -> None:
        """Nothing is held beside the container."""
