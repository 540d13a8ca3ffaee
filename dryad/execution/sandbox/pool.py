"""Sandboxes started before they are needed: a run then waits for its program alone.

A guest that waits has settled into its room and knows nothing yet: no code, no file, no limit. Each
serves one run and is gone, so nothing passes from one run to the next.
"""

import asyncio
from collections import deque
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from dryad.execution.sandbox.port import (
    Guarantee,
    RungName,
    SandboxRequest,
    SandboxResult,
    Spoken,
    refuse_unless,
)
from dryad.execution.sandbox.supervise import Guest
from dryad.foundation.errors import Unavailable


class Startable(Protocol):
    """A rung whose guests can be started before a request is known."""

    @property
    def name(self) -> RungName: ...  # noqa: D102 - as in `Sandbox`
    @property
    def guarantees(self) -> frozenset[Guarantee]: ...  # noqa: D102

    async def start(self, *, ahead: bool) -> Guest:
        """Start a guest and return it once it waits for its order.

        With `ahead` an interpreter waits in it as well, for Python code; that takes longer.
        """
        ...

    async def carry_out(self, guest: Guest, request: SandboxRequest) -> SandboxResult:
        """Run one request in a guest, which is gone afterwards."""
        ...

    def converse(self, request: SandboxRequest) -> AbstractAsyncContextManager[Spoken]:
        """Start a program to speak to; see `Sandbox.converse`."""
        ...


class Pool:
    """A `Sandbox` that keeps `size` guests of a rung waiting; the first run finds none yet."""

    def __init__(self, rung: Startable, *, size: int = 2) -> None:
        self._rung = rung
        self._size = size
        self._waiting: deque[Guest] = deque()
        self._filling: asyncio.Task[None] | None = None

    @property
    def name(self) -> RungName:
        """Which rung this is."""
        return self._rung.name

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What holds here; see `Sandbox.guarantees`."""
        return self._rung.guarantees

    async def run(self, request: SandboxRequest) -> SandboxResult:
        """Run one request; see `Sandbox.run`. The next guest is started when this one ended."""
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        guest = await self._taken()
        try:
            return await self._rung.carry_out(guest, request)
        finally:
            self._fill_later()

    def converse(self, request: SandboxRequest) -> AbstractAsyncContextManager[Spoken]:
        """Start a program to speak to, in a guest of its own; see `Sandbox.converse`."""
        return self._rung.converse(request)

    async def warm(self) -> None:
        """Return when all guests wait.

        Raises:
            Unavailable: the rung cannot be started.
        """
        if self._filling is not None and not self._filling.done():
            await asyncio.shield(self._filling)
        await self._top_up()

    async def close(self) -> None:
        """End the guests that wait, from whichever loop; one that is just starting sees our end."""
        if self._filling is not None and not self._filling.done():
            filler = self._filling.get_loop()
            if filler is asyncio.get_running_loop():
                self._filling.cancel()
                await asyncio.gather(self._filling, return_exceptions=True)
            elif not filler.is_closed():
                filler.call_soon_threadsafe(self._filling.cancel)
        while self._waiting:
            await self._waiting.popleft().close()

    async def _taken(self) -> Guest:
        while self._waiting:
            guest = self._waiting.popleft()
            if not await guest.ended():
                return guest
            await guest.close()
        return await self._rung.start(ahead=False)

    def _fill_later(self) -> None:
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    async def _top_up(self) -> None:
        while len(self._waiting) < self._size:
            self._waiting.append(await self._rung.start(ahead=True))

    async def _fill(self) -> None:
        try:
            await self._top_up()
        except Unavailable:
            return  # whoever runs next starts its own guest, and is told why it cannot
