"""What every step asks before it happens, and tells afterwards."""

from typing import Literal, Protocol

from dryad.execution.episodes import Usage

Kind = Literal["model", "tool"]


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
