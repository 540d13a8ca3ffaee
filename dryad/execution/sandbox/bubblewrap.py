"""Rung: bubblewrap furnishes the room, the guest bounds it."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath

from dryad.execution.sandbox import identity, layout, process, supervise
from dryad.execution.sandbox.conversation import conversing
from dryad.execution.sandbox.orders import Setup
from dryad.execution.sandbox.port import (
    GUARANTEES,
    Guarantee,
    RungName,
    SandboxRequest,
    SandboxResult,
    Spoken,
    refuse_unless,
)
from dryad.foundation.errors import Unavailable

_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID")
"""What the guest needs to bound the disk and to become somebody else; it drops them then."""


class BubblewrapSandbox:
    """The program `bwrap`, started with an empty environment."""

    name: RungName = "bubblewrap"
    guarantees: frozenset[Guarantee] = frozenset(GUARANTEES)

    async def run(self, request: SandboxRequest) -> SandboxResult:
        """Run one request; see `Sandbox.run`."""
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        return await self.carry_out(await self.start(ahead=False), request)

    async def carry_out(self, guest: supervise.Guest, request: SandboxRequest) -> SandboxResult:
        """Run one request in a guest; see `Startable.carry_out`."""
        return await supervise.run(guest, request, supervise.order(request), rung=self.name)

    @asynccontextmanager
    async def converse(self, request: SandboxRequest) -> AsyncGenerator[Spoken]:
        """Start a program to speak to; see `Sandbox.converse`."""
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        guest = await self.start(ahead=False)
        async with conversing(guest, request, supervise.order(request), rung=self.name) as spoken:
            yield spoken

    async def start(self, *, ahead: bool) -> supervise.Guest:
        """Start a guest that waits for its order; see `Startable.start`."""
        program = shutil.which("bwrap")
        if program is None:
            raise Unavailable("bwrap is not installed", "Install the package `bubblewrap`.")
        seen = layout.layout()
        privileged = identity.can_mount()
        setup: Setup = {
            "room": None,
            "become": identity.nobody() if privileged else None,
            "box": layout.BOX,
            "bounded": True,
            "measured": True,
            "alone": True,
            "reply": 0,
            "confinement": supervise.confinement(fence=layout.fence()),
            "waiting": supervise.interpreter() if ahead else [],
        }
        arguments = _arguments(seen, user_namespace=not privileged)
        return await process.start(
            self.name,
            [program, *arguments, *supervise.guest_command()],
            setup,
            user=identity.starter(),
        )


def _arguments(seen: layout.Layout, *, user_namespace: bool) -> list[str]:
    arguments = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    arguments += ["--unshare-cgroup-try", "--hostname", "sandbox", "--as-pid-1"]
    if user_namespace:
        arguments += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
    arguments += ["--cap-drop", "ALL"]
    for capability in _CAPABILITIES[: 1 if user_namespace else None]:
        arguments += ["--cap-add", capability]
    for folder in _parents(seen):
        arguments += ["--dir", folder]
    for source, target in seen.binds:
        arguments += ["--ro-bind", source, target]
    for source, target in seen.devices:
        arguments += ["--dev-bind", source, target]
    for path, goal in seen.links:
        arguments += ["--symlink", goal, path]
    return [*arguments, "--proc", "/proc", "--remount-ro", "/", "--chdir", "/", "--"]


def _parents(seen: layout.Layout) -> list[str]:
    """Return every folder to make, outer first: bwrap would close those it makes by itself."""
    places = [target for _, target in (*seen.binds, *seen.devices)]
    places += [path for path, _ in seen.links]
    folders = {str(parent) for place in places for parent in PurePosixPath(place).parents}
    return sorted((folders | set(seen.folders)) - {"/"})
