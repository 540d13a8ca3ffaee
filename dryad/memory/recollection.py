"""What must hold of a restored memory: its mirrors are made anew, and what is in it is found."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sqlalchemy import func, select

from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import DocumentRow, PassageRow, RecentRow
from dryad.foundation.ids import TenantId
from dryad.memory.index.port import VectorIndex
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy, entry_of
from dryad.memory.recent.port import Copy, RecentMirror, Slot, Trace
from dryad.memory.vectors import Embedder

SEARCHES = 20
_QUERY_WORDS = 15
_AMONG = 10
_NO_GENERATION = -1
_A_WHILE = timedelta(minutes=5)


class ClosableIndex(VectorIndex, Protocol):
    """A mirror of vectors that was opened for us."""

    def close(self) -> None:
        """Give it back."""
        ...


class ClosableMirror(RecentMirror, Protocol):
    """A mirror of values that was opened for us."""

    def close(self) -> None:
        """Give it back."""
        ...


@dataclass(frozen=True)
class Recollection:
    """Proves the memory of a restored ledger.

    Attributes:
        embedder: Whose vectors are searched; None: words alone.
        index: Opens a mirror in the server that mirrors the live ledger's vectors, by a name that
            no other use has, so that what a killed proof left there goes; None: no server does.
        recent: The same for short-term values.
    """

    embedder: Embedder | None = None
    index: Callable[[], ClosableIndex] | None = None
    recent: Callable[[], ClosableMirror] | None = None

    def __call__(self, url: str) -> list[str]:
        """Make the mirrors anew, look for passages by their own words, read values.

        Args:
            url: SQLAlchemy URL of a DRYAD database nobody else works on; what it says about its
                mirrors changes.

        Returns:
            What is wrong, in words.

        Raises:
            Unavailable: a mirror's server does not answer: nothing is known of the ledger.
        """
        with closing(Database(url, pool_size=2)) as database:
            return [*self._values(database), *self._passages(database)]

    def _passages(self, database: Database) -> Iterator[str]:
        sample = _sample(database)
        with self._indexed(database) as copy:
            librarian = Librarian(database, embedder=self.embedder, copy=copy)
            if copy is not None:
                yield from _made(copy)
            for passage in sample:
                where = f"passage {passage.number} of {passage.document}"
                if not _found(librarian, passage):
                    yield f"search: {where} is not found by its own words"
                if copy is not None and copy.missing:
                    yield f"search: it went without the mirror: {copy.missing}"
                elif copy is not None and not copy.finds(TenantId(passage.tenant), passage):
                    yield f"search: {where} is not found through the mirror by its own vector"

    def _values(self, database: Database) -> Iterator[str]:
        if self.recent is None:
            return
        with closing(self.recent()) as mirror:
            nothing = Copy(_NO_GENERATION, mirror.server())
            mirror.drop_others(nothing)
            copy = RecentCopy(database, mirror)
            copy.states.doubt("it is made anew, to prove that it can be")
            try:
                yield from _made(copy)
                for row in _values_of(database):
                    slot = Slot(TenantId(row.tenant), row.agent, row.key)
                    held = copy.read(slot)
                    if held is None or Trace.of(held) != Trace.of(entry_of(row)):
                        yield f"mirror: {row.key} of {row.agent} is not read as the ledger has it"
            finally:
                mirror.drop_others(nothing)

    @contextmanager
    def _indexed(self, database: Database) -> Generator[IndexCopy | None]:
        if self.index is None or self.embedder is None:
            yield None
            return
        with closing(self.index()) as index:
            index.drop_others(_NO_GENERATION)
            try:
                yield IndexCopy(database, index, self.embedder)
            finally:
                index.drop_others(_NO_GENERATION)


def _made(copy: IndexCopy | RecentCopy) -> list[str]:
    """Make a mirror from the ledger alone, compare it, and say what is wrong with it."""
    copy.keep()
    found, trouble = copy.check().found, copy.trouble()
    trouble = trouble or (f"{found} rows differ" if found else "")
    return [f"mirror: it cannot be made anew: {trouble}"] if trouble else []


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


def _values_of(database: Database) -> Sequence[RecentRow]:
    """Return up to 20 values that live for a while yet, the newest first."""
    living = RecentRow.expires > utc_now() + _A_WHILE
    query = select(RecentRow).where(living).order_by(RecentRow.sequence.desc()).limit(SEARCHES)
    with database.reading() as session:
        return session.scalars(query).all()


def _found(librarian: Librarian, passage: PassageRow) -> bool:
    query = " ".join(passage.text.split()[:_QUERY_WORDS])
    hits = librarian.search(TenantId(passage.tenant), query, _AMONG)
    return any(hit.text == passage.text for hit in hits)
