"""What must hold of a restored long-term memory: what is in it is found."""

from contextlib import closing

from sqlalchemy import func, select

from dryad.foundation.database import Database
from dryad.foundation.database.models import DocumentRow, PassageRow
from dryad.foundation.ids import TenantId
from dryad.memory.librarian import Librarian

SEARCHES = 20
_QUERY_WORDS = 15
_AMONG = 10


def recollection_problems(url: str) -> list[str]:
    """Look for passages of a ledger by their own words; return, in words, which are not found.

    Args:
        url: SQLAlchemy URL of a DRYAD database nobody else works on.
    """
    with closing(Database(url, pool_size=1)) as database:
        librarian = Librarian(database)
        return [
            f"search: passage {passage.number} of {passage.document} is not found by its own words"
            for passage in _sample(database)
            if not _found(librarian, passage)
        ]


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
