"""Rung: Landlock, seccomp and resource limits, where no namespace can be had."""

import asyncio
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from dryad.execution.sandbox import identity, layout, process, supervise
from dryad.execution.sandbox.conversation import conversing
from dryad.execution.sandbox.guest import kernel
from dryad.execution.sandbox.orders import Fence, Order, Setup
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

_VERSION = 6
"""The first version that also stops signals and abstract sockets; Linux 6.12."""


class LandlockSandbox:
    """A process of this machine among others, fenced in by the kernel.

    Names and sizes of host files stay visible, and the run's directory is on the host's disk.
    Changing modes, owners and times of files fails everywhere, its own directory included; so do
    sockets, and semaphores between processes.

    Raises:
        Unavailable: the kernel has no Landlock, too old a one, or does not list child processes.
    """

    name: RungName = "landlock"

    def __init__(self) -> None:
        version = kernel.landlock_version()
        if version < _VERSION:
            found = f"version {version}" if version else "no Landlock"
            raise Unavailable(f"this kernel has {found}; version {_VERSION} is needed (Linux 6.12)")
        own = Path(f"/proc/self/task/{threading.get_native_id()}/children")
        if not own.exists():
            raise Unavailable(f"this kernel does not list child processes ({own})")
        self.guarantees = guaranteed()

    async def run(self, request: SandboxRequest) -> SandboxResult:
        """Run one request; see `Sandbox.run`."""
        async with self._started(request) as (guest, order):
            return await supervise.run(guest, request, order, rung=self.name)

    @asynccontextmanager
    async def converse(self, request: SandboxRequest) -> AsyncGenerator[Spoken]:
        """Start a program to speak to; see `Sandbox.converse`."""
        async with (
            self._started(request) as (guest, order),
            conversing(guest, request, order, rung=self.name) as spoken,
        ):
            yield spoken

    @asynccontextmanager
    async def _started(
        self, request: SandboxRequest
    ) -> AsyncGenerator[tuple[supervise.Guest, Order]]:
        """Start a guest with a directory of its own, which is gone with the block."""
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        become = identity.nobody() if _is_alien() else None
        box = tempfile.mkdtemp(prefix="dryad-box-")
        try:
            if become is not None:
                os.chown(box, become, become)
            setup: Setup = {
                "room": None,
                "become": become,
                "box": box,
                "bounded": False,
                "measured": False,
                "alone": False,
                "reply": 0,
                "confinement": supervise.confinement(
                    box=box, python=sys.executable, fence=_fence(box), crowded=True
                ),
                "waiting": [],
            }
            guest = await process.start(self.name, supervise.guest_command(), setup)
            base = 0 if identity.is_root() else identity.threads_of_ours()
            yield guest, supervise.order(request, python=sys.executable, process_base=base)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, box, ignore_errors=True))


def guaranteed() -> frozenset[Guarantee]:
    """Return what holds for whoever runs this process."""
    lacking: set[Guarantee] = {"host_names", "disk"}
    if identity.is_root() and not _is_alien():
        # The interpreter is readable by root alone, whom RLIMIT_NPROC does not bind.
        lacking.add("processes")
    return frozenset(GUARANTEES) - lacking


def _is_alien() -> bool:
    """Whether a run continues as somebody else than the superuser who starts it."""
    return identity.is_root() and identity.strangers_reach_python()


def _fence(box: str) -> Fence:
    read = [source for source, _ in layout.layout().binds]
    read += ["/dev/random", "/dev/urandom"]
    return {"read": read, "write": [box, "/dev/null", "/dev/full"]}
