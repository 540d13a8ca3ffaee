"""What somebody asks for, and what makes it unacceptable before anything happened."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dryad.foundation.canonical import canonical_json, digest
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import RunId, TenantId, checked_name

SERVER_DIRECTIVE = "__prefect_kind"
"""The orchestrator's server executes a JSON object that holds this key, at any depth."""

# Tabs, line and page breaks and terminal colours occur in pasted text; other controls in binaries.
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, kw_only=True)
class TaskLimits:
    """The most one task may bring along or spend."""

    text_bytes: int = 100_000
    context_bytes: int = 200_000
    context_depth: int = 20
    tokens: int = 200_000
    cost_usd: float = 5.0
    answer_within_seconds: int = 30 * 86_400


@dataclass(frozen=True, kw_only=True)
class Request:
    """A task as somebody asks for it.

    Attributes:
        tenant: Whose data the task may see.
        text: What is to be done, in the requester's words.
        context: Facts beside the text, as a JSON object.
        agent: Agent that shall do it; '' lets the decision engine choose.
        budget: `{tokens, cost_usd, answer_within_seconds, project}`, each optional: the most the
            task may spend, narrower than the installation's limits, how long its questions wait,
            and which project pays beside the tenant.
        requester: Who asks: `key:<id>`, `ui:unverified`, `schedule:<name>`.
        idempotency_key: The same key names the same task; '' makes every request a new one.
        run: The flow run that carries the task already, when it was started from its form.
    """

    tenant: TenantId
    text: str
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    agent: str = ""
    budget: Mapping[str, Any] = field(default_factory=dict[str, Any])
    requester: str = "local"
    idempotency_key: str = ""
    run: RunId | None = None

    @property
    def digest(self) -> str:
        """The sha256 of what is asked, whoever asks; two equal requests share it."""
        asked = {
            "text": self.text,
            "context": dict(self.context),
            "agent": self.agent,
            "budget": dict(self.budget),
        }
        return digest(asked)


def screen(request: Request, limits: TaskLimits) -> None:
    """Refuse a request that cannot become a task.

    Raises:
        InvalidRequest: the text is empty, binary or too long; the context is no JSON object, too
            deep, too large or holds a server directive; the budget or the key is malformed.
    """
    _screen_text(request.text, limits.text_bytes)
    screen_object(
        request.context,
        "the context",
        most_bytes=limits.context_bytes,
        most_depth=limits.context_depth,
    )
    _screen_budget(request.budget, limits)
    if request.agent:
        checked_name(request.agent, what="the agent")
    if request.idempotency_key and not _PRINTABLE.fullmatch(request.idempotency_key):
        raise InvalidRequest(
            "the idempotency key must be 1-200 printable ASCII characters, no space"
        )


def screen_characters(text: str, what: str) -> None:
    """Refuse a string that is no text: NUL, a lone surrogate, or a control only binaries hold.

    Raises:
        InvalidRequest: it is not text; the message starts with `what`.
    """
    if found := _BINARY.search(text):
        name = "NUL" if found[0] == "\x00" else f"the control character U+{ord(found[0]):04X}"
        raise InvalidRequest(f"{what} holds {name} at character {found.start()}: it is not text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"{what} holds a lone surrogate at character {error.start}: it is not text"
        ) from error


def screen_object(value: object, what: str, *, most_bytes: int, most_depth: int) -> None:
    """Refuse what is not a JSON object that may be stored and sent on.

    Raises:
        InvalidRequest: it is no JSON object, too deep, too large, not text, holds a number JSON
            cannot carry, or a server directive; the message starts with `what`.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{what} must be a JSON object, not {_json_name(value)}")
    for part in _parts(cast("object", value), what, most_depth):
        if isinstance(part, str):
            screen_characters(part, what)
        elif isinstance(part, float) and not math.isfinite(part):
            raise InvalidRequest(f"{what} holds {part}, which JSON cannot carry")
    try:
        size = len(canonical_json(dict(cast("Mapping[str, Any]", value))))
    except TypeError as error:  # orjson's errors are TypeErrors
        raise InvalidRequest(f"{what} is not JSON: {error}") from error
    if size > most_bytes:
        raise InvalidRequest(
            f"{what} has {size:,} bytes as JSON, the limit is {most_bytes:,}",
            "Ingest long material with `dryad memory ingest` and refer to it.",
        )


def _screen_text(text: object, most: int) -> None:
    if not isinstance(text, str):
        raise InvalidRequest(f"the task text must be a string, not {_json_name(text)}")
    screen_characters(text, "the task text")
    if not text.strip():
        raise InvalidRequest("the task text is empty", "Say in a sentence what is to be done.")
    size = len(text.encode())
    if size > most:
        raise InvalidRequest(
            f"the task text has {size:,} bytes, the limit is {most:,}",
            "Ingest long material with `dryad memory ingest` and refer to it,"
            " or raise DRYAD_MAX_TASK_BYTES.",
        )


def _parts(value: object, what: str, depth: int) -> Iterator[object]:
    """Yield every key and leaf; refuse what nests deeper than `depth`."""
    if isinstance(value, Mapping):
        children: list[object] = []
        for key, child in cast("Mapping[object, object]", value).items():
            if key == SERVER_DIRECTIVE:
                raise InvalidRequest(f"{what} holds the key {SERVER_DIRECTIVE!r}")
            yield key
            children.append(child)
    elif isinstance(value, list | tuple):
        children = list(cast("list[object]", value))
    else:
        yield value
        return
    if depth == 0:
        raise InvalidRequest(f"{what} nests too deep")
    for child in children:
        yield from _parts(child, what, depth - 1)


def _screen_budget(budget: Mapping[str, Any], limits: TaskLimits) -> None:
    most: dict[str, int | float] = {
        "tokens": limits.tokens,
        "cost_usd": limits.cost_usd,
        "answer_within_seconds": limits.answer_within_seconds,
    }
    for name, value in budget.items():
        if name == "project":
            checked_name(str(value), what="a project")
            continue
        if name not in most:
            raise InvalidRequest(f"a budget has {', '.join(most)}, project, not {str(name)[:80]!r}")
        whole = name != "cost_usd"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise InvalidRequest(f"budget.{name} must be a {'whole ' if whole else ''}number")
        if not 0 < value <= most[name]:
            raise InvalidRequest(
                f"budget.{name} must be above 0 and at most {most[name]:,}, got {value:,}"
            )


def _json_name(value: object) -> str:
    names: dict[type, str] = {
        list: "a list",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), f"a {type(value).__name__}")
