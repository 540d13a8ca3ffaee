"""Route a request for memory to whoever keeps that kind, and let only its owner through."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from dryad.execution.memories import (
    SHARED,
    WORKING,
    Document,
    Kept,
    LongTermMemory,
    Passage,
    Provenance,
    RecentMemory,
    Shelved,
    SourceType,
)
from dryad.execution.memory_policy import NO_RULES, MemoryPolicy, Right
from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from dryad.foundation.ids import TenantId

MemoryKind = Literal["short_term", "long_term", "working", "episodic", "semantic"]
"""short_term: the Archivist, by key. working: both. The others: the Librarian, by document id;
episodic (what happened) and semantic (what is so) are categories of long-term memory."""

_RECENT: frozenset[MemoryKind] = frozenset({"short_term", "working"})
_LASTING: frozenset[MemoryKind] = frozenset({"long_term", "working", "episodic", "semantic"})
MOST_FOUND = 100


@dataclass(frozen=True)
class Asker:
    """Who asks, and whose memory is meant: the asker's own unless `owner` says otherwise."""

    tenant: TenantId
    agent: str
    owner: str | None = None

    @property
    def owned_by(self) -> str:
        """Whose memory is meant."""
        return self.agent if self.owner is None else self.owner


@dataclass(frozen=True)
class Stored:
    """Where something went: `key` in short-term memory, `id` in long-term memory, or both.

    `duplicate_of` held the same words already; `near` holds almost the same, `likeness` how much.
    """

    key: str | None = None
    expires: datetime | None = None
    id: str | None = None
    duplicate_of: str | None = None
    near: str | None = None
    likeness: float = 0.0


@dataclass(frozen=True)
class Memory:
    """Something that was kept: `reference` is its key or its document id."""

    source: Literal["archivist", "librarian"]
    reference: str
    value: Any
    provenance: Provenance
    expires: datetime | None = None
    passage: Passage | None = None
    """What to cite, when it was found by a search of long-term memory."""


class Coordinator:
    """Stores, retrieves, searches, archives, deletes and updates, by kind of memory.

    An agent reads and writes its own memory, reads what belongs to the whole tenant, and does
    nothing else unless the tenant's policy has a rule for it. What the keepers raise reaches the
    caller: nothing is ever made up.
    """

    def __init__(
        self,
        recent: RecentMemory,
        long_term: LongTermMemory,
        *,
        policy: Callable[[TenantId], MemoryPolicy] = lambda _tenant: NO_RULES,
    ) -> None:
        self._recent = recent
        self._long_term = long_term
        self._policy = policy

    def store(
        self,
        asker: Asker,
        kind: MemoryKind,
        value: Any,
        *,
        key: str | None = None,
        title: str = "",
        origin: str = "",
        provenance: Provenance = "untrusted",
        source_type: SourceType = "observation",
        ttl: timedelta | None = None,
        details: Mapping[str, Any] | None = None,
        compared: bool = False,
    ) -> Stored:
        """Keep `value`.

        Args:
            asker: Who asks.
            kind: What kind of memory it is.
            value: Text, or anything JSON can say.
            key: Its name in short-term and working memory, required there; what had that name
                before gives way, in both places.
            title: What it is called in long-term memory; default its key, or its first words.
            origin: Where it came from; default the agent.
            provenance: May its words be believed?
            source_type: What it is.
            ttl: Life in short-term memory; default the installation's.
            details: More to keep beside it in long-term memory, as JSON.
            compared: Tell what its owner has there that is almost the same.

        Raises:
            InvalidRequest: no key where one is needed, or the keeper refuses the value.
            Refused: it is somebody else's memory.
        """
        self._permit(asker, "write")
        if kind in _RECENT and not key:
            raise InvalidRequest(f"{kind} memory needs a key")
        stored = Stored()
        if kind in _LASTING:  # first: when the rest fails, a retry finds it and keeps it once
            text = _text(value)
            by_key = kind == "working" and not origin
            document = Document(
                title=title or key or text[:80].strip(),
                text=text,
                origin=_working(key) if by_key else origin or f"agent:{asker.agent}",
                category=_category(kind) or "general",
                source_type=source_type,
                provenance=provenance,
                agent=asker.owned_by,
                details={**(details or {}), "value": value},
                compared=compared,
            )
            stored = _stored(self._long_term.shelve(asker.tenant, document, replace=by_key))
        if kind in _RECENT and key:
            expires = self._recent.remember(
                asker.tenant, asker.owned_by, key, value, ttl=ttl, provenance=provenance
            )
            stored = replace(stored, key=key, expires=expires)
        return stored

    def update(
        self, asker: Asker, kind: MemoryKind, reference: str, value: Any, **more: Any
    ) -> Stored:
        """Keep `value` in place of what `reference` names; see `store`.

        Raises:
            NotFound: long-term memory has nothing of that name.
            Refused: it is somebody else's memory.
        """
        self._permit(asker, "write")
        if kind in _RECENT:
            return self.store(asker, kind, value, key=reference, **more)
        self._owned(asker, reference, "write")
        stored = self.store(asker, kind, value, **more)
        if stored.id != reference:
            self._long_term.withdraw(asker.tenant, reference)
        return stored

    def retrieve(self, asker: Asker, kind: MemoryKind, reference: str) -> Memory:
        """Return what is kept under a key or a document id.

        Raises:
            NotFound: nothing is, or not any more.
            Refused: it is somebody else's memory.
        """
        self._permit(asker, "read")
        if kind in _RECENT:
            found = self._recent.recall(asker.tenant, asker.owned_by, reference)
            if found is None:
                raise NotFound(f"nothing is remembered under {reference[:80]!r}")
            return Memory(
                "archivist", found.key, found.value, found.provenance, expires=found.expires
            )
        kept = self._owned(asker, reference, "read")
        value = kept.details.get("value", kept.text)
        return Memory("librarian", kept.id, value, kept.provenance)

    def search(self, asker: Asker, kind: MemoryKind, query: str, *, limit: int = 5) -> list[Memory]:
        """Return what answers `query`.

        Returns:
            Short-term values that hold all its words, by key; then long-term passages, best first.

        Raises:
            InvalidRequest: the query is too long, or the limit out of bounds.
            Refused: it is somebody else's memory.
        """
        self._permit(asker, "read")
        if not 1 <= limit <= MOST_FOUND:
            raise InvalidRequest(f"limit must be 1-{MOST_FOUND}, got {limit}")
        found: list[Memory] = []
        if kind in _RECENT and (words := query.split()):
            found += [
                Memory("archivist", one.key, one.value, one.provenance, expires=one.expires)
                for one in self._recent.list(
                    asker.tenant, asker.owned_by, limit=limit, holding=words
                )
            ]
        if kind in _LASTING:
            found += [
                Memory("librarian", hit.document, hit.text, hit.provenance, passage=hit)
                for hit in self._long_term.search(
                    asker.tenant,
                    query,
                    limit,
                    category=_category(kind),
                    agents={asker.owned_by, SHARED},
                )
            ]
        return found[:limit]

    def find(
        self,
        tenant: TenantId,
        agent: str,
        query: str,
        limit: int = 5,
        *,
        category: str | None = None,
    ) -> list[Passage]:
        """Return the passages that answer `query` best, of all that `agent` may read."""
        owners = self._policy(tenant).readable(agent)
        return self._long_term.search(tenant, query, limit, category=category, agents=owners)

    def archive(self, asker: Asker, key: str) -> Stored:
        """Move a short-term value to long-term memory: copy it first, then forget the original.

        Raises:
            NotFound: nothing is remembered under that key, or not any more.
            Refused: it is somebody else's memory.
        """
        self._permit(asker, "write")
        found = self.retrieve(asker, "short_term", key)
        stored = self.store(asker, "long_term", found.value, title=key, provenance=found.provenance)
        self._recent.forget(asker.tenant, asker.owned_by, key)
        return stored

    def delete(self, asker: Asker, kind: MemoryKind, reference: str) -> None:
        """Remove what is kept under a key, or take a document out of every search.

        Working memory is deleted by its key, in both places.

        Raises:
            NotFound: nothing is kept there, or not any more.
            Refused: no rule of the tenant lets this agent delete there.
        """
        if kind in _RECENT:
            self._permit(asker, "delete")
            there = self._recent.forget(asker.tenant, asker.owned_by, reference)
            if kind == "working":
                copies = [_working(reference)]
                there |= self._long_term.withdraw_from(asker.tenant, asker.owned_by, copies) > 0
            if not there:
                raise NotFound(f"nothing is remembered under {reference[:80]!r}")
            return
        self._owned(asker, reference, "delete")
        self._long_term.withdraw(asker.tenant, reference)

    def _owned(self, asker: Asker, document: str, what: Right) -> Kept:
        kept = self._long_term.read(asker.tenant, document)
        self._permit(Asker(asker.tenant, asker.agent, kept.agent), what)
        return kept

    def _permit(self, asker: Asker, what: Right) -> None:
        if self._policy(asker.tenant).allows(asker.agent, what, asker.owned_by):
            return
        whose = f"the memory of {asker.owned_by!r}" if asker.owned_by else "the tenant's own memory"
        raise Refused(
            f"agent {asker.agent!r} may not {what} {whose}",
            "An administrator adds a rule with `dryad memory policy FILE`.",
        )


def _stored(shelved: Shelved) -> Stored:
    return Stored(
        id=shelved.id,
        duplicate_of=shelved.duplicate_of,
        near=shelved.near,
        likeness=shelved.likeness,
    )


def _working(key: str | None) -> str:
    """Return the origin by which the long-term copy of a key's value is known."""
    return f"{WORKING}{key}"


def _category(kind: MemoryKind) -> str | None:
    return kind if kind in {"episodic", "semantic"} else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return canonical_json(value).decode()
    except TypeError as error:
        raise InvalidRequest(f"a value must be text or JSON: {error}") from error
