"""Dialogues in long-term memory: turns in overlapping windows, found with their neighbours' help.

A turn alone says too little: a window of three is found where one is not, and what stands beside
windows that fit the query fits better than what stands alone.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dryad.execution.memories import SHARED, Document, Passage, Provenance
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import TenantId, checked_name
from dryad.memory.librarian import MAX_RESULTS, Librarian
from dryad.memory.moments import resolved

CATEGORY = "dialogue"
WINDOW = 3
"""Turns in a window; each turn but the first and last two is in three."""

NEIGHBOURS = 0.25
"""How much each of a window's two neighbours adds to its score; the window itself weighs half."""

MOST_TURNS = 1_000

_ORIGIN = re.compile(r"dialogue:([^/]+)/(\d+)")


@dataclass(frozen=True)
class Turn:
    """What somebody said, and when."""

    speaker: str
    text: str
    at: datetime


@dataclass(frozen=True)
class Window:
    """Turns `[first, last]` of a dialogue, from 0; `score` is comparable within one search."""

    dialogue: str
    first: int
    last: int
    text: str
    score: float
    provenance: Provenance
    document: str


class Dialogues:
    """Keeps dialogues with the Librarian."""

    def __init__(self, librarian: Librarian) -> None:
        self._librarian = librarian

    def remember(
        self,
        tenant: TenantId,
        dialogue: str,
        turns: Sequence[Turn],
        *,
        agent: str = SHARED,
        provenance: Provenance = "untrusted",
    ) -> int:
        """Keep a dialogue; said again with more turns, or fewer, only what was said last is found.

        Args:
            tenant: Whose memory.
            dialogue: Its name: what was kept under it before is added to or replaced.
            turns: In order, at most 1,000, each with the time it was said.
            agent: Whose it is; default the whole tenant's.
            provenance: May its words be believed?

        Returns:
            How many windows it has.

        Raises:
            InvalidRequest: the name is malformed, there are too many turns, one is empty, or a
                time has no zone.
            NotFound: there is no such tenant.
        """
        checked_name(dialogue, what="a dialogue")
        if not 1 <= len(turns) <= MOST_TURNS:
            raise InvalidRequest(f"a dialogue has 1-{MOST_TURNS:,} turns, got {len(turns)}")
        lines = [_line(turn) for turn in turns]
        firsts = range(max(1, len(lines) - WINDOW + 1))
        documents = [
            Document(
                title="",
                text="\n".join(lines[first : first + WINDOW]),
                origin=f"dialogue:{dialogue}/{first}",
                category=CATEGORY,
                source_type="conversation",
                provenance=provenance,
                agent=agent,
                details={"first": first, "last": min(first + WINDOW, len(lines)) - 1},
            )
            for first in firsts
        ]
        self._librarian.shelve_all(tenant, documents, replace=True)
        beyond = [f"dialogue:{dialogue}/{n}" for n in range(len(documents), MOST_TURNS)]
        self._librarian.withdraw_from(tenant, agent, beyond)
        return len(documents)

    def search(
        self,
        tenant: TenantId,
        query: str,
        limit: int = 5,
        *,
        agents: Collection[str] | None = None,
    ) -> list[Window]:
        """Return the windows that answer `query` best; of those that overlap, the best.

        Raises:
            InvalidRequest: the query is too long, or the limit out of bounds.
        """
        if not 1 <= limit <= MAX_RESULTS:
            raise InvalidRequest(f"limit must be 1-{MAX_RESULTS}, got {limit}")
        hits = self._librarian.search(tenant, query, MAX_RESULTS, category=CATEGORY, agents=agents)
        found: dict[tuple[str, str], dict[int, Passage]] = defaultdict(dict)
        for hit in hits:
            if named := _ORIGIN.fullmatch(hit.origin):  # a document may be of this category, too
                found[hit.agent, named[1]].setdefault(int(named[2]), hit)
        windows = [
            _window(name, first, places) for (_, name), places in found.items() for first in places
        ]
        windows.sort(key=lambda window: (-window.score, window.dialogue, window.first))
        chosen: list[Window] = []
        for window in windows:
            if len(chosen) == limit:
                break
            if not any(_overlap(window, other) for other in chosen):
                chosen.append(window)
        return chosen


def _line(turn: Turn) -> str:
    if turn.at.tzinfo is None:
        raise InvalidRequest("the time of a turn needs its zone")
    said = " ".join(turn.text.split())
    if not said:
        raise InvalidRequest("a turn has no text")
    day = turn.at.astimezone(UTC).date()
    return f"{turn.speaker} ({day}): {resolved(said, day)}"


def _window(name: str, first: int, places: dict[int, Passage]) -> Window:
    hit = places[first]
    beside = sum(places[near].score for near in (first - 1, first + 1) if near in places)
    return Window(
        dialogue=name,
        first=first,
        last=first + hit.text.count("\n"),
        text=hit.text,
        score=(1 - 2 * NEIGHBOURS) * hit.score + NEIGHBOURS * beside,
        provenance=hit.provenance,
        document=hit.document,
    )


def _overlap(one: Window, other: Window) -> bool:
    same = one.dialogue == other.dialogue
    return same and one.first <= other.last and other.first <= one.last
