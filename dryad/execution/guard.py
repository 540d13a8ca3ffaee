"""What every step asks before it happens, and tells afterwards."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal, Protocol, TypeVar

from dryad.execution.episodes import Usage
from dryad.foundation.errors import Unavailable

Kind = Literal["model", "tool"]
T = TypeVar("T")

LOOK_EVERY_SECONDS = 0.5
"""How soon a step in flight notices that it was stopped."""


class Guard(Protocol):
    """Kill switches and budgets, as the steps of one agent see them. Blocking calls."""

    def check(self, kind: Kind, name: str) -> None:
        """Let a step go on; asked before it and again when it came back.

        Args:
            kind: What the step is.
            name: The model's or the tool's name.

        Raises:
            Refused: a kill switch is on: the run stops, and what was in flight is discarded.
        """
        ...

    def reserve(self, kind: Kind, most: Usage) -> str:
        """Hold the most the step may use; return the ticket it is settled by.

        Raises:
            LimitExceeded: a budget does not allow it: the agent stops.
        """
        ...

    def settle(self, ticket: str, kind: Kind, used: Usage | None) -> None:
        """Charge what the step used; None: nobody knows, so all that was held."""
        ...


class Unguarded:
    """Lets every step pass."""

    def check(self, kind: Kind, name: str) -> None:
        """See `Guard.check`."""

    def reserve(self, kind: Kind, most: Usage) -> str:  # noqa: ARG002
        """See `Guard.reserve`."""
        return ""

    def settle(self, ticket: str, kind: Kind, used: Usage | None) -> None:
        """See `Guard.settle`."""


UNGUARDED = Unguarded()


async def unless_stopped(guard: Guard, kind: Kind, name: str, doing: Coroutine[Any, Any, T]) -> T:
    """Do a step, and drop it the moment somebody stops it: what it started is ended, too.

    Raises:
        Refused: it was stopped.
    """
    step = asyncio.ensure_future(doing)
    try:
        while not (await asyncio.wait({step}, timeout=LOOK_EVERY_SECONDS))[0]:
            with suppress(Unavailable):  # the next look may see it
                await asyncio.to_thread(guard.check, kind, name)
    finally:
        if not step.done():
            step.cancel()
            await asyncio.wait({step})
    return await step
