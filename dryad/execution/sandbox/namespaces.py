"""Rung: namespaces the guest makes itself, with nothing installed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dryad.execution.sandbox import identity, layout, process, supervise
from dryad.execution.sandbox.conversation import conversing
from dryad.execution.sandbox.orders import Order, Room, Setup
from dryad.execution.sandbox.port import (
    GUARANTEES,
    Guarantee,
    RungName,
    SandboxRequest,
    SandboxResult,
    Spoken,
    refuse_unless,
)


class NamespaceSandbox:
    """Mount, process, network, IPC, host name and control group namespaces of our own."""

    name: RungName = "namespaces"
    guarantees: frozenset[Guarantee] = frozenset(GUARANTEES)

    async def run(self, request: SandboxRequest) -> SandboxResult:
        """Run one request; see `Sandbox.run`."""
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        return await self.carry_out(await self.start(ahead=False), request)

    async def carry_out(self, guest: supervise.Guest, request: SandboxRequest) -> SandboxResult:
        """Run one request in a guest; see `Startable.carry_out`."""
        return await supervise.run(guest, request, self._order(request), rung=self.name)

    @asynccontextmanager
    async def converse(self, request: SandboxRequest) -> AsyncGenerator[Spoken]:
        """Start a program to speak to; see `Sandbox.converse`."""
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        guest = await self.start(ahead=False)
        async with conversing(guest, request, self._order(request), rung=self.name) as spoken:
            yield spoken

    async def start(self, *, ahead: bool) -> supervise.Guest:
        """Start a guest that waits for its order; see `Startable.start`."""
        seen = layout.layout()
        privileged = identity.can_mount()
        room: Room = {
            "user_namespace": not privileged,
            "binds": seen.binds,
            "devices": seen.devices,
            "links": seen.links,
            "folders": seen.folders,
        }
        setup: Setup = {
            "room": room,
            "become": identity.nobody() if privileged else None,
            "box": layout.BOX,
            "bounded": True,
            "measured": True,
            "alone": True,
            "reply": 0,
            "confinement": supervise.confinement(fence=layout.fence()),
            "waiting": supervise.interpreter() if ahead else [],
        }
        return await process.start(
            self.name,
            supervise.guest_command(),
            setup,
            user=identity.starter(),
        )

    def _order(self, request: SandboxRequest) -> Order:
        # The process that waits outside the process namespace is counted in the user namespace.
        base = 0 if identity.can_mount() else 1
        return supervise.order(request, process_base=base)
