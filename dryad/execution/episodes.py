"""What goes into one episode of an agent and what comes out: plain data, as JSON anywhere.

An agent works in episodes. An episode ends when the agent is `Done`, or when it `Asks` a person;
the next one gets the progress so far and the verdicts, possibly in another process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from dryad.foundation.approval_rules import CALL
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import RunId
from dryad.foundation.tools import Tier

Decision = Literal["approve", "edit", "reject", "reply"]


@dataclass(frozen=True)
class Usage:
    """What was used. `steps` are model and tool calls; `seconds` their working time, no waiting."""

    steps: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    seconds: float = 0.0

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum."""
        return Usage(
            self.steps + other.steps,
            self.tokens + other.tokens,
            self.cost_usd + other.cost_usd,
            self.seconds + other.seconds,
        )

    def beyond(self, limits: "Limits") -> str:
        """Return which limit this usage passes, in words, or ''."""
        if self.steps > limits.steps:
            return f"the limit of {limits.steps} steps"
        if self.tokens > limits.tokens:
            return f"the limit of {limits.tokens} tokens"
        if self.cost_usd > limits.cost_usd:
            return f"the limit of {limits.cost_usd} USD"
        if self.seconds >= limits.seconds:
            return f"the limit of {limits.seconds:g} s of working time"
        return ""


@dataclass(frozen=True)
class Limits:
    """The most one agent may use on one task, all its episodes together."""

    steps: int = 30
    tokens: int = 200_000
    cost_usd: Decimal = Decimal(5)
    seconds: float = 1800.0


@dataclass(frozen=True)
class Source:
    """A passage an agent was shown: `[number]` in its answer cites characters `[start, stop)`."""

    number: int
    document: str
    title: str
    section: str
    start: int
    stop: int
    text: str
    origin: str = ""
    provenance: str = "trusted"


@dataclass(frozen=True)
class ToolUse:
    """One tool call as a report shows it."""

    tool: str
    version: str
    outcome: Literal["done", "failed", "denied"]
    seconds: float


@dataclass(frozen=True)
class Question:
    """A call that waits for a person.

    `approval`: nothing happened yet; a yes makes exactly `arguments` happen. `doubt`: a process
    died or a connection broke while it happened; approve runs it again, reject leaves it, reply
    says what came of it.
    """

    kind: Literal["approval", "doubt"]
    ordinal: int
    """Which tool call of this agent it is, from 1: with run and member it names the call."""
    call_id: str
    """The key its verdict is given under."""
    tool: str
    version: str
    tier: Tier
    arguments: Mapping[str, Any]
    description: str
    untrusted: bool
    """The agent had read untrusted text before it wanted this."""
    action: str = CALL
    """The kind of action, as the policy's rules name it."""
    policy_version: int = 0
    """The policy by which it is asked; a yes is good under this one alone."""
    asked: int = 0
    """How often a yes to this call lapsed before it was made."""


@dataclass(frozen=True)
class Verdict:
    """A person's answer to a question. `arguments` replace the asked ones on `edit`."""

    decision: Decision
    case: int
    """Whose answer it is: the approval that is spent when the call is made."""
    reason: str = ""
    reply: str = ""
    arguments: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse an edit that says nothing.

        Raises:
            InvalidRequest: `edit` without arguments.
        """
        if self.decision == "edit" and self.arguments is None:
            raise InvalidRequest("a verdict to edit needs the edited arguments")


@dataclass(frozen=True)
class Progress:
    """All that an agent did so far on its task."""

    messages: list[Any] = field(default_factory=list[Any])
    """The conversation, as pydantic-ai's JSON."""
    usage: Usage = Usage()
    tools: tuple[ToolUse, ...] = ()
    models: tuple[str, ...] = ()
    """Names of the models that answered, each once."""
    sources: tuple[Source, ...] = ()
    untrusted: bool = False
    """Whether it has read untrusted text."""
    degraded: str = ""
    """Why the result is less than a language model's, or ''."""
    pending: tuple[Question, ...] = ()

    def with_model(self, name: str, degraded: str) -> "Progress":
        """Return this with one more model that answered."""
        models = self.models if name in self.models else (*self.models, name)
        return replace(self, models=models, degraded=self.degraded or degraded)


@dataclass(frozen=True)
class Episode:
    """One stretch of work of one agent (`member`) on one run, up to its end or its next question.

    `instructions` and `prompt` must not hold the time or anything else that changes between
    attempts: a replayed step is compared by its inputs.
    """

    run: RunId
    member: str
    number: int
    instructions: str
    prompt: str
    limits: Limits = Limits()
    progress: Progress | None = None
    """`Asks.progress` of the episode before; None in the first."""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    """One for each pending question, by its `call_id`."""
    untrusted: bool = False
    """Whether prompt or instructions hold untrusted text."""


@dataclass(frozen=True)
class Done:
    """The agent ended: with an answer, or `stopped` by a limit, named in `reason`."""

    status: Literal["done", "stopped"]
    output: str
    progress: Progress
    citations: tuple[Source, ...] = ()
    reason: str = ""
    kind: Literal["done"] = "done"

    @property
    def usage(self) -> Usage:
        """What the agent used, all episodes together."""
        return self.progress.usage

    @property
    def degraded(self) -> str:
        """Why the answer is less than a language model's, or ''."""
        return self.progress.degraded

    @property
    def untrusted(self) -> bool:
        """Whether the agent read untrusted text."""
        return self.progress.untrusted


@dataclass(frozen=True)
class Asks:
    """The agent waits for verdicts on all of `questions`."""

    progress: Progress
    kind: Literal["asks"] = "asks"

    @property
    def questions(self) -> tuple[Question, ...]:
        """What a person is asked."""
        return self.progress.pending

    @property
    def usage(self) -> Usage:
        """What the agent used so far."""
        return self.progress.usage


@cache
def _adapter(of: Any) -> TypeAdapter[Any]:
    return TypeAdapter(of)


def to_json(value: Episode | Done | Asks) -> dict[str, Any]:
    """Return an episode or its end as plain JSON data."""
    return _adapter(type(value)).dump_python(value, mode="json")


def episode_from_json(data: Any) -> Episode:
    """Read what `to_json` made of an episode."""
    return _adapter(Episode).validate_python(data)


def end_from_json(data: Mapping[str, Any]) -> Done | Asks:
    """Read what `to_json` made of the end of an episode."""
    return _adapter(Done if data["kind"] == "done" else Asks).validate_python(data)
