"""Move short-term memory that is about to expire, and worth keeping, to long-term memory."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from dryad.execution.annotations import annotate
from dryad.execution.coordinator import Asker
from dryad.execution.memories import Remembered
from dryad.execution.scribe import Scribe
from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import DryadError
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import Archivist

LEAST_WORDS = 8
LEAST_CONFIDENCE = 0.1
"""What is in no clear language, or too short to tell, says nothing to whoever finds it later."""


@dataclass(frozen=True)
class Consolidated:
    """What became of one value, and why. `known`: long-term memory had its words already."""

    agent: str
    key: str
    outcome: Literal["kept", "known", "left"]
    reason: str
    document: str = ""


class Consolidation:
    """Judges what is about to expire."""

    def __init__(self, archivist: Archivist, scribe: Scribe) -> None:
        self._archivist = archivist
        self._scribe = scribe

    def consolidate(
        self, tenant: TenantId, *, within: timedelta, limit: int = 1_000
    ) -> list[Consolidated]:
        """Keep what expires soon and is worth it; done again, it changes nothing.

        A value keeps its owner and its label, and expires in short-term memory all the same.

        Args:
            tenant: Whose memory.
            within: What expires in this time is judged.
            limit: Most values judged, those that expire first.
        """
        expiring = self._archivist.expiring(tenant, within=within, limit=limit)
        return [self._judge(tenant, agent, value) for agent, value in expiring]

    def _judge(self, tenant: TenantId, agent: str, value: Remembered) -> Consolidated:
        text = value.value if isinstance(value.value, str) else canonical_json(value.value).decode()
        if reason := _worthless(text):
            return Consolidated(agent, value.key, "left", reason)
        try:
            _, stored = self._scribe.note(
                Asker(tenant, agent),
                text,
                title=value.key,
                provenance=value.provenance,
                kind="episodic",
                details={"remembered_as": value.key},
            )
        except DryadError as error:  # of this value alone; the next may be kept
            return Consolidated(agent, value.key, "left", error.message)
        document = stored.id or ""
        if stored.duplicate_of:
            return Consolidated(agent, value.key, "known", "its words are kept already", document)
        reason = f"almost repeats {stored.near}" if stored.near else "says something new"
        return Consolidated(agent, value.key, "kept", reason, document)


def table(answers: list[tuple[TenantId, Consolidated]]) -> list[dict[str, str]]:
    """Return a row for each value, what was kept first."""
    order = {"kept": 0, "known": 1, "left": 2}
    ranked = sorted(answers, key=lambda one: (order[one[1].outcome], one[0], one[1].agent))
    return [
        {
            "tenant": tenant,
            "agent": one.agent,
            "key": one.key,
            "outcome": one.outcome,
            "reason": one.reason,
            "document": one.document,
        }
        for tenant, one in ranked[:1_000]
    ]


def _worthless(text: str) -> str:
    """Return why a text is not worth keeping, or ''."""
    words = len(text.split())
    if words < LEAST_WORDS:
        return f"too short: {words} words, at least {LEAST_WORDS}"
    if annotate(text).confidence < LEAST_CONFIDENCE:
        return "it is in no clear language"
    return ""
