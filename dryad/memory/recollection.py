"""What must hold of a restored memory: its mirror can be made anew, and what is in it is found."""

import secrets
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import func, select

from dryad.foundation.database import Database
from dryad.foundation.database.models import DocumentRow, PassageRow
from dryad.foundation.ids import TenantId
from dryad.memory.index.port import VectorIndex
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.vectors import Embedder

SEARCHES = 20
_QUERY_WORDS = 15
_AMONG = 10
_NO_GENERATION = -1


class Closable(VectorIndex, Protocol):
    """An index that was opened for us."""

    def close(self) -> None:
        """Give it back."""
        ...


@dataclass(frozen=True)
class Recollection:
    """Proves the long-term memory of a restored ledger.

    Attributes:
        embedder: Whose vectors are searched; None: words alone.
        index: Opens, by a name of its own, a mirror in the server that mirrors the live ledger;
            None: no server does.
    """

    embedder: Embedder | None = None
    index: Callable[[str], Closable] | None = None

    def __call__(self, url: str) -> list[str]:
        """Make the mirror anew, and look for passages by their own words.

        Args:
            url: SQLAlchemy URL of a DRYAD database nobody else works on; what it says about its
                mirror changes.

        Returns:
            What is wrong, in words.

        Raises:
            Unavailable: the mirror's server does not answer: nothing is known of the ledger.
        """
        with (
            closing(Database(url, pool_size=2)) as database,
            self._copied(database) as (copy, problems),
        ):
            librarian = Librarian(database, embedder=self.embedder, copy=copy)
            return problems + [
                f"search: passage {passage.number} of {passage.document} is not found by its own "
                "words"
                for passage in _sample(database)
                if not _found(librarian, passage)
            ]

    @contextmanager
    def _copied(self, database: Database) -> Generator[tuple[IndexCopy | None, list[str]]]:
        if self.index is None or self.embedder is None:
            yield None, []
            return
        with closing(self.index(f"verify{secrets.token_hex(4)}")) as index:
            copy = IndexCopy(database, index, self.embedder)
            try:
                copy.keep()
                found = copy.check().found
                trouble = copy.trouble() or (f"{found} vectors differ" if found else "")
                yield copy, [f"mirror: it cannot be made anew: {trouble}"] if trouble else []
            finally:
                index.drop_others(_NO_GENERATION)


def _sample(database: Database) -> list[PassageRow]:
    """Return up to 20 passages of living documents, spread over all there are."""
    living = (
        select(PassageRow)
        .join(DocumentRow, DocumentRow.id == PassageRow.document)
        .where(DocumentRow.deleted.is_(None), PassageRow.length >= 3)
        .order_by(PassageRow.tenant, PassageRow.number)
    )
    with database.reading() as session:
        count = session.scalar(select(func.count()).select_from(living.subquery())) or 0
        places = sorted({count * turn // SEARCHES for turn in range(SEARCHES)}) if count else []
        return [row for place in places for row in session.scalars(living.offset(place).limit(1))]


def _found(librarian: Librarian, passage: PassageRow) -> bool:
    query = " ".join(passage.text.split()[:_QUERY_WORDS])
    hits = librarian.search(TenantId(passage.tenant), query, _AMONG)
    return any(hit.text == passage.text for hit in hits)
