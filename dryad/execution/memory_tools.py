"""The tools of memory: documents that are found and kept, values that are remembered for hours."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dryad.execution.memories import Document, RecentMemory, Remembered
from dryad.execution.tool_calls import Passage, ToolOutcome
from dryad.execution.workbench import Find, Shelve
from dryad.foundation.errors import Refused
from dryad.foundation.tool_history import Errand

Tool = Callable[..., Awaitable[ToolOutcome]]

_RECALLED = 20


@dataclass(frozen=True)
class MemoryTools:
    """What an agent does with memory: find what it may read, keep and recall what is its own.

    Attributes:
        find: Finds documents.
        shelve: Keeps them.
        recent: Remembers values; without it the tools for that are refused.
    """

    find: Find
    shelve: Shelve
    recent: RecentMemory | None = None

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by name."""
        return {
            "search_memory": self._search,
            "store_memory": self._store,
            "remember": self._remember,
            "recall": self._recall,
        }

    async def _search(self, errand: Errand, arguments: Mapping[str, Any], **_: Any) -> ToolOutcome:
        found = await asyncio.to_thread(
            self.find,
            errand.tenant,
            errand.agent,
            arguments["query"],
            arguments.get("limit", 5),
            category=arguments.get("category"),
        )
        names = Passage.__dataclass_fields__
        passages = tuple(Passage(**{n: getattr(hit, n) for n in names}) for hit in found)
        untrusted = any(passage.provenance != "trusted" for passage in passages)
        return ToolOutcome({"found": len(passages)}, untrusted=untrusted, passages=passages)

    async def _store(self, errand: Errand, arguments: Mapping[str, Any], **_: Any) -> ToolOutcome:
        """Keep a note of the agent's; whatever it had read, its words are never more than data."""
        document = Document(
            title=arguments["title"],
            text=arguments["text"],
            origin=f"task:{errand.task}/{arguments['title']}"[:1_000],
            category=arguments.get("category", "note"),
            source_type="tool_output",
            provenance="untrusted",
            agent=errand.agent,
        )
        shelved = await asyncio.to_thread(self.shelve, errand.tenant, document)
        value = {"document": shelved.duplicate_of or shelved.id, "passages": shelved.passages}
        return ToolOutcome(value)

    async def _remember(
        self, errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        """Keep a value of the agent's, which is never more than data either."""
        hours = arguments.get("hours")
        expires = await asyncio.to_thread(
            self._archivist().remember,
            errand.tenant,
            errand.agent,
            arguments["key"],
            arguments["value"],
            ttl=None if hours is None else timedelta(hours=hours),
            provenance="untrusted",
        )
        return ToolOutcome({"key": arguments["key"], "expires": expires.isoformat()})

    async def _recall(self, errand: Errand, arguments: Mapping[str, Any], **_: Any) -> ToolOutcome:
        """Return the values whose keys match; one key alone is read where that is fastest."""
        key = arguments["key"]
        found: list[Remembered | None]
        if "*" in key:
            found = [
                *await asyncio.to_thread(
                    self._archivist().list, errand.tenant, errand.agent, key, limit=_RECALLED
                )
            ]
        else:
            found = [
                await asyncio.to_thread(self._archivist().recall, errand.tenant, errand.agent, key)
            ]
        values = [one for one in found if one is not None]
        return ToolOutcome(
            {"values": [_shown(one) for one in values]},
            untrusted=any(one.provenance == "untrusted" for one in values),
        )

    def _archivist(self) -> RecentMemory:
        if self.recent is None:
            raise Refused("there is no short-term memory here")
        return self.recent


def _shown(one: Remembered) -> dict[str, Any]:
    return {"key": one.key, "value": one.value, "expires": one.expires.isoformat()}
