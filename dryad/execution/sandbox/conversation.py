"""A program in a sandbox that is spoken to while it runs: its standard input and output."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dryad.execution.sandbox.answer import Answer
from dryad.execution.sandbox.orders import Order
from dryad.execution.sandbox.port import RungName, SandboxRequest, SandboxResult
from dryad.execution.sandbox.supervise import Guest, answer_bytes, packed


class Conversation:
    """What is said to the program, and what it says; `result` is there once it has ended."""

    def __init__(self, guest: Guest, rung: RungName) -> None:
        self._guest = guest
        self._rung: RungName = rung
        self._answer = Answer()
        self.result: SandboxResult | None = None

    async def begin(self) -> None:
        """Return when the program is there; nothing may be told before."""
        while self.result is None:
            key, value = await self._guest.receive()
            if key == "begun":
                return
            self._answer.add(key, value)

    async def tell(self, data: bytes) -> None:
        """Write to the program's standard input.

        Raises:
            Unavailable: the sandbox is gone.
        """
        await self._guest.send(data)

    async def hear(self) -> bytes:
        """Return the next bytes of its standard output; b"" when it has ended.

        Raises:
            Unavailable: the sandbox failed or is gone.
        """
        while self.result is None:
            key, value = await self._guest.receive()
            if key == "said":
                return value
            if not self._answer.add(key, value):
                self.result = self._answer.result(self._rung)
        return b""


@asynccontextmanager
async def conversing(
    guest: Guest, request: SandboxRequest, order: Order, *, rung: RungName
) -> AsyncGenerator[Conversation]:
    """Have a guest that is ready begin; everything inside is gone when the block ends.

    Raises:
        InvalidRequest: the input does not fit into the disk limit.
        Unavailable: the guest failed or vanished.
    """
    conversation = Conversation(guest, rung)
    guest.allow(answer_bytes(request.limits))
    order["talks"] = True
    try:
        await guest.send(packed(order))
        await conversation.begin()
        yield conversation
    finally:
        await guest.close()
