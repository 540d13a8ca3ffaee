"""How the agent loop reaches tools: what it is offered, may call, and gets back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from dryad.foundation.tools import Permit, ToolSpec


@dataclass(frozen=True)
class Passage:
    """A piece of a document a tool returned, to be cited; see `Source`, which numbers it."""

    document: str
    title: str
    section: str
    start: int
    stop: int
    text: str
    origin: str = ""
    provenance: str = "trusted"


@dataclass(frozen=True)
class ToolOutcome:
    """What came of one call: a value as JSON, or the reason why there is none.

    `failed` means it is certain that nothing happened, or that the tool itself reported failure;
    a call that may have happened raises `Unavailable` instead.
    """

    value: Any = None
    failed: str = ""
    untrusted: bool = False
    """The value holds text from outside that may try to give orders."""
    passages: tuple[Passage, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ToolOutcome":
        """Read what `to_json` made."""
        passages = tuple(Passage(**passage) for passage in data["passages"])
        return cls(data["value"], data["failed"], data["untrusted"], passages)


class ToolCaller(Protocol):
    """The tools of one agent on one task."""

    def offered(self) -> Sequence[ToolSpec]:
        """Return what the model is shown. Blocking."""
        ...

    def permit(self, tool: str, arguments: Mapping[str, Any], *, untrusted: bool) -> Permit:
        """Decide one call; see `Tools.permit`. Blocking.

        Raises:
            Refused: the call is not allowed.
            InvalidRequest: the tool cannot take these arguments.
        """
        ...

    async def call(self, step: str, permit: Permit) -> ToolOutcome:
        """Make a permitted call.

        Args:
            step: Names this call, the same when it is repeated: the key of an idempotent tool.
            permit: Leave to make it.

        Raises:
            Refused: a rule stopped it before anything happened.
            InvalidRequest: the same, for what it was given.
            Unavailable: nobody knows whether it happened.
        """
        ...
