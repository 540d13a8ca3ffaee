"""Read from the ledger what a search found, with all that is needed to cite and to judge it."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.orm import Session

from dryad.execution.memories import Kept, Passage, Provenance, SourceType
from dryad.foundation.database.models import DocumentRow, PassageRow
from dryad.foundation.ids import TenantId
from dryad.memory.shelf import Ranked

_DOCUMENTS = cast("Table", DocumentRow.__table__).c
_PASSAGES = cast("Table", PassageRow.__table__).c
_CITED_FIELDS = (
    *("document", "title", "section", "start", "stop", "text"),
    *("origin", "category", "provenance", "agent"),
)
_CITED = (
    select(
        _PASSAGES.number,
        *(_PASSAGES[name] if name in _PASSAGES else _DOCUMENTS[name] for name in _CITED_FIELDS),
    )
    .join_from(_PASSAGES.number.table, _DOCUMENTS.id.table, _DOCUMENTS.id == _PASSAGES.document)
    .where(
        _PASSAGES.tenant == bindparam("tenant"),
        _PASSAGES.number.in_(bindparam("numbers", expanding=True)),
        _DOCUMENTS.tenant == bindparam("tenant"),
        _DOCUMENTS.deleted.is_(None),
    )
)


def cited(session: Session, tenant: TenantId, ranked: Sequence[Ranked]) -> list[Passage]:
    """Read what was found; the ledger has the last word on whether it still exists."""
    rows = session.execute(
        _CITED, {"tenant": tenant, "numbers": [hit.number for hit in ranked]}
    ).mappings()
    found = {row["number"]: row for row in rows}
    return [
        Passage(
            **{name: found[hit.number][name] for name in _CITED_FIELDS},
            score=hit.score,
            parts=hit.parts,
        )
        for hit in ranked
        if hit.number in found
    ]


def kept_of(row: DocumentRow, passages: tuple[tuple[str, int, str], ...] = ()) -> Kept:
    """Return a document as it is kept."""
    return Kept(
        id=row.id,
        title=row.title,
        origin=row.origin,
        category=row.category,
        source_type=cast("SourceType", row.source_type),
        provenance=cast("Provenance", row.provenance),
        agent=row.agent,
        details=row.details,
        created=row.created,
        passages=passages,
    )
