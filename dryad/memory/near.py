"""Near-duplicates in the ledger: the one that a new text is most like, among its owner's."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from dryad.execution.memories import Document
from dryad.foundation.database.models import BandRow, DocumentRow, PassageRow
from dryad.foundation.ids import TenantId
from dryad.memory.likeness import LEAST, bands, likeness, shingles

MOST_CANDIDATES = 50
"""Texts compared at most: of many that share a band, a few decide."""

_BANDS = cast("Table", BandRow.__table__)


def nearest(session: Session, tenant: TenantId, document: Document) -> tuple[str, float] | None:
    """Return the id of what `document` is almost the same as, and how alike they are in [0, 1]."""
    own = shingles(document.text)
    candidates = session.scalars(
        select(BandRow.document)
        .join(DocumentRow, DocumentRow.id == BandRow.document)
        .where(
            BandRow.tenant == tenant,
            BandRow.key.in_(bands(own)),
            DocumentRow.tenant == tenant,
            DocumentRow.agent == document.agent,
            DocumentRow.deleted.is_(None),
        )
        .group_by(BandRow.document)
        .order_by(BandRow.document)
        .limit(MOST_CANDIDATES)
    ).all()
    alike = [(likeness(own, shingles(_text(session, tenant, one))), one) for one in candidates]
    best = max(alike, default=(0.0, ""))
    return (best[1], best[0]) if best[0] >= LEAST else None


def keep(session: Session, tenant: str, documents: Sequence[tuple[str, Document]]) -> None:
    """Let later texts find these, by their ids."""
    rows = [
        {"tenant": tenant, "key": key, "document": identity}
        for identity, document in documents
        for key in set(bands(shingles(document.text)))
    ]
    if rows:
        session.execute(_BANDS.insert(), rows)


def _text(session: Session, tenant: TenantId, document: str) -> str:
    passages = session.scalars(
        select(PassageRow.text)
        .where(PassageRow.tenant == tenant, PassageRow.document == document)
        .order_by(PassageRow.start)
    )
    return " ".join(passages)
