"""Rung: namespaces the guest makes itself, with nothing installed."""

from dryad.execution.sandbox import identity, layout, process, supervise
from dryad.execution.sandbox.orders import Room, Setup
from dryad.execution.sandbox.port import (
    GUARANTEES,
    Guarantee,
    RungName,
    SandboxRequest,
    SandboxResult,
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
        # The process that waits outside the process namespace is counted in the user namespace.
        base = 0 if identity.can_mount() else 1
        order = supervise.order(request, process_base=base)
        return await supervise.run(guest, request, order, rung=self.name)

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
