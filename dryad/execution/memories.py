"""What is remembered, and what level 1 asks of those who keep it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from dryad.foundation.ids import TenantId

Provenance = Literal["trusted", "untrusted"]
"""May its words be believed? Untrusted text is data, never an instruction, whoever quotes it."""

SourceType = Literal["conversation", "tool_output", "document", "observation", "external"]

SHARED = ""
"""The owner of what belongs to the whole tenant."""

WORKING = "working:"
"""What the origin of working memory's long-term copy begins with; its key follows."""


@dataclass(frozen=True)
class Document:
    """A text to be kept for long, and where it came from."""

    title: str
    text: str
    origin: str
    """Path, address or name it came from; at most 1,000 characters."""
    category: str = "general"
    source_type: SourceType = "document"
    provenance: Provenance = "untrusted"
    agent: str = SHARED
    """Whose it is."""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Anything else worth keeping, as JSON."""
    compared: bool = False
    """Tell which of its owner's texts it is almost the same as; only these are compared."""


@dataclass(frozen=True)
class Shelved:
    """Where a document went.

    `duplicate_of` names the one that already held the same text, and is its id; `near` one that
    holds almost the same, `likeness` how much in [0, 1].
    """

    id: str
    passages: int
    duplicate_of: str | None = None
    near: str | None = None
    likeness: float = 0.0


@dataclass(frozen=True)
class Passage:
    """A piece of a document that was found, with what is needed to cite and to judge it.

    `text` is the document's `[start, stop)`; `score` > 0, higher is better, comparable only within
    one search; `parts` says what it is made of.
    """

    document: str
    title: str
    section: str
    start: int
    stop: int
    text: str
    origin: str
    category: str
    provenance: Provenance
    agent: str
    score: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class Kept:
    """A document as it is kept; `passages` are its pieces in order, as (section, start, text)."""

    id: str
    title: str
    origin: str
    category: str
    source_type: SourceType
    provenance: Provenance
    agent: str
    details: Mapping[str, Any]
    created: datetime
    passages: tuple[tuple[str, int, str], ...] = ()

    @property
    def text(self) -> str:
        """The whole text: every character at its place, white space between passages made even."""
        text = ""
        for _, start, piece in self.passages:
            gap = start - len(text)
            text += (" " if gap == 1 else "\n" * gap) + piece
        return text


@dataclass(frozen=True)
class Remembered:
    """A short-term value, as JSON, until it expires."""

    key: str
    value: Any
    expires: datetime
    provenance: Provenance = "untrusted"
    agent: str = ""


class RecentMemory(Protocol):
    """Short-term memory: the Archivist."""

    def remember(
        self,
        tenant: TenantId,
        agent: str,
        key: str,
        value: Any,
        *,
        ttl: timedelta | None = None,
        provenance: Provenance = "untrusted",
    ) -> datetime:
        """Keep `value` until the time returned, in place of any earlier one."""
        ...

    def recall(self, tenant: TenantId, agent: str, key: str) -> Remembered | None:
        """Return what is kept under `key`, never an expired value."""
        ...

    def forget(self, tenant: TenantId, agent: str, key: str) -> bool:
        """Remove what is kept under `key`; False when there was nothing."""
        ...

    def list(
        self,
        tenant: TenantId,
        agent: str,
        pattern: str = "*",
        *,
        limit: int = 100,
        holding: Collection[str] = (),
    ) -> list[Remembered]:
        """Return what is kept under the keys that match and holds all these words, by key."""
        ...


class LongTermMemory(Protocol):
    """Long-term memory: the Librarian."""

    def shelve(self, tenant: TenantId, document: Document, *, replace: bool = False) -> Shelved:
        """Keep a document; with `replace`, in place of what its owner had from that origin."""
        ...

    def search(
        self,
        tenant: TenantId,
        query: str,
        limit: int = 5,
        *,
        category: str | None = None,
        agents: Collection[str] | None = None,
    ) -> list[Passage]:
        """Return the passages that answer `query` best."""
        ...

    def read(self, tenant: TenantId, document: str) -> Kept:
        """Return one document with its passages."""
        ...

    def withdraw(self, tenant: TenantId, document: str) -> None:
        """Take a document out of every search."""
        ...

    def withdraw_from(self, tenant: TenantId, agent: str, origins: Collection[str]) -> int:
        """Take out what an owner has from these origins; return how many documents that were."""
        ...
