"""Level 2, wired: the stores of memory, their mirrors, and who routes to them."""

from functools import cached_property

from dryad import adapters
from dryad.execution.coordinator import Coordinator
from dryad.execution.scribe import Scribe
from dryad.execution.telling import Teller
from dryad.memory.archivist import Archivist
from dryad.memory.consolidation import Consolidation
from dryad.memory.dialogues import Dialogues
from dryad.memory.librarian import Librarian
from dryad.memory.minilm import MiniLM
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.policies import MemoryPolicies
from dryad.memory.relations import Relations
from dryad.wiring.foundation import Foundation


class MemoryServices(Foundation):
    """Memory of one process, on its ledger."""

    @cached_property
    def recent_copy(self) -> RecentCopy | None:
        """The copy of short-term memory in Redis, where one was chosen."""
        if self.installation.adapters().get("recent") != "redis":
            return None
        mirror = adapters.redis_mirror(self.settings, self.installation.epoch())
        self._closing.append(mirror.close)
        return RecentCopy(self.database, mirror, clock=self.clock)

    @cached_property
    def index_copy(self) -> IndexCopy | None:
        """The copy of long-term memory's vectors in Chroma, where one was chosen."""
        if self.installation.adapters().get("index") != "chroma" or self.embedder is None:
            return None
        index = adapters.chroma_index(self.settings, self.installation.epoch())
        self._closing.append(index.close)
        return IndexCopy(self.database, index, self.embedder, clock=self.clock)

    @property
    def mirrors(self) -> dict[str, RecentCopy | IndexCopy]:
        """The copies of memory in other servers, by the server's name."""
        named = {"redis": self.recent_copy, "chroma": self.index_copy}
        return {name: copy for name, copy in named.items() if copy is not None}

    def _held_by_mirrors(self) -> list[str]:
        """Tell which copies may still hold what the ledger has no more, and why."""
        troubles = {name: copy.trouble() for name, copy in self.mirrors.items()}
        return [
            f"{name}: until it is brought up to date: {trouble}"
            for name, trouble in troubles.items()
            if trouble
        ]

    @cached_property
    def embedder(self) -> MiniLM | None:
        """What makes search find by meaning."""
        return adapters.embedder(self.settings)

    @cached_property
    def archivist(self) -> Archivist:
        """Short-term memory."""
        return Archivist(
            self.database,
            clock=self.clock,
            retention=self.settings.recent_retention,
            copy=self.recent_copy,
        )

    @cached_property
    def librarian(self) -> Librarian:
        """Long-term memory."""
        return Librarian(
            self.database,
            clock=self.clock,
            embedder=self.embedder,
            copy=self.index_copy,
            policy=self.memory_policies.current,
        )

    @cached_property
    def memory_policies(self) -> MemoryPolicies:
        """What agents may do with memory, per tenant."""
        return MemoryPolicies(self.database, self.audit, clock=self.clock)

    @cached_property
    def relations(self) -> Relations:
        """How documents stand to each other."""
        return Relations(self.database, clock=self.clock)

    @cached_property
    def coordinator(self) -> Coordinator:
        """Routes requests for memory."""
        return Coordinator(self.archivist, self.librarian, policy=self.memory_policies.current)

    @cached_property
    def scribe(self) -> Scribe:
        """Writes notes."""
        return Scribe(self.coordinator, teller=self.teller)

    @cached_property
    def teller(self) -> Teller | None:
        """What describes notes better than rules; None where there is no model."""
        return None

    @cached_property
    def consolidation(self) -> Consolidation:
        """Keeps what is worth it before it expires."""
        return Consolidation(self.archivist, self.scribe)

    @cached_property
    def dialogues(self) -> Dialogues:
        """What was said to each other."""
        return Dialogues(self.librarian)
