"""What a server must do to mirror the vectors of long-term memory."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from dryad.foundation.ids import TenantId
from dryad.memory.vectors import Floats

MOST_ROWS = 5_000
"""Rows taken over at once."""


class Vector(NamedTuple):
    """One passage as the mirror holds it: found by direction, and filtered by the rest."""

    number: int
    document: str
    category: str
    agent: str
    direction: Floats


class VectorIndex(Protocol):
    """Holds a copy of the ledger's vectors by generation; it can always be made again.

    What it finds are candidates: the ledger has the last word on each.
    """

    def generations(self) -> set[int]:
        """Return which copies are there, whole.

        Raises:
            Unavailable: it does not answer.
        """
        ...

    def create(self, generation: int) -> None:
        """Begin an empty copy.

        Raises:
            Unavailable: it does not answer.
        """
        ...

    def drop_others(self, generation: int) -> None:
        """Remove every other copy of this installation.

        Raises:
            Unavailable: it does not answer.
        """
        ...

    def upsert(self, generation: int, tenant: TenantId, rows: Sequence[Vector]) -> None:
        """Make rows findable; the same number replaces. At most 5,000 rows.

        Raises:
            Unavailable: it does not answer, or there is no such copy.
        """
        ...

    def remove(self, generation: int, tenant: TenantId, document: str, *, upto: int) -> None:
        """Take away a document's passages with numbers up to `upto`.

        Raises:
            Unavailable: it does not answer, or there is no such copy.
        """
        ...

    def nearest(
        self,
        generation: int,
        tenant: TenantId,
        direction: Floats,
        *,
        limit: int,
        category: str | None = None,
        agents: Collection[str] | None = None,
    ) -> list[int]:
        """Return the numbers of about the nearest passages, nearest first.

        Raises:
            Unavailable: it does not answer, or there is no such copy.
        """
        ...

    def held(self, generation: int, tenant: TenantId) -> Mapping[int, str]:
        """Return which passages of a tenant are there, and of which document.

        Raises:
            Unavailable: it does not answer, or there is no such copy.
        """
        ...

    def rows(self, generation: int, tenant: TenantId, numbers: Collection[int]) -> list[Vector]:
        """Return, of at most 5,000 passages of a tenant, those that are there, as they are there.

        Raises:
            Unavailable: it does not answer, or there is no such copy.
        """
        ...

    def discard(self, generation: int, tenant: TenantId, numbers: Collection[int]) -> None:
        """Take away passages by number.

        Raises:
            Unavailable: it does not answer, or there is no such copy.
        """
        ...
