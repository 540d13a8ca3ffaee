"""What the validation of level 2 proves on a running installation."""

import secrets
import time
from dataclasses import dataclass
from datetime import timedelta

from dryad.execution.memories import Document
from dryad.foundation.ids import TenantId
from dryad.foundation.validation import AGENT, TENANT, Check
from dryad.memory.archivist import Archivist
from dryad.memory.librarian import Librarian

_TTL = timedelta(seconds=1)
_LATEST_SECONDS = 10.0


@dataclass(frozen=True)
class MemoryGate:
    """The checks of level 2; `other` is a tenant that must not see what the validation shelves."""

    archivist: Archivist
    librarian: Librarian
    other: TenantId

    def checks(self) -> list[Check]:
        """Return them."""
        return [
            Check("the Archivist forgets in time", self._forgets, "dryad memory mirrors"),
            Check("the Librarian finds a passage", self._finds, "dryad memory check"),
            Check("no tenant finds another's", self._keeps_apart, "dryad memory check"),
        ]

    def _forgets(self) -> str:
        key, value = f"validation/{secrets.token_hex(8)}", secrets.token_hex(8)
        self.archivist.remember(TENANT, AGENT, key, value, ttl=_TTL)
        kept = self.archivist.recall(TENANT, AGENT, key)
        if kept is None or kept.value != value:
            return "what was just remembered is not recalled"
        deadline = time.monotonic() + _LATEST_SECONDS
        while self.archivist.recall(TENANT, AGENT, key) is not None:
            if time.monotonic() > deadline:
                self.archivist.forget(TENANT, AGENT, key)
                return f"what was to be kept for {_TTL.seconds} s is recalled after 10 s"
            time.sleep(0.1)
        return ""

    def _finds(self) -> str:
        return "" if self._hits(TENANT) else "the passage just shelved is not found"

    def _keeps_apart(self) -> str:
        return f"{self.other} finds what {TENANT} shelved" if self._hits(self.other) else ""

    def _hits(self, searcher: TenantId) -> bool:
        """Whether a tenant finds what the validation has just shelved."""
        word = f"validation{secrets.token_hex(6)}"
        text = f"The harbour master of {word} keeps the tide tables."
        shelved = self.librarian.shelve(TENANT, Document(word, text, f"validation:{word}"))
        try:
            hits = self.librarian.search(searcher, f"tide tables of {word}")
            return any(word in hit.text for hit in hits)
        finally:
            self.librarian.forget(TENANT, shelved.id)
