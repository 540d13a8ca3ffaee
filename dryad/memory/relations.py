"""How documents of long-term memory stand to each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import DocumentRow, RelationRow
from dryad.foundation.errors import InvalidRequest, NotFound
from dryad.foundation.ids import TenantId

RelationKind = Literal["references", "contradicts", "supports", "follows", "related"]


@dataclass(frozen=True)
class Relation:
    """`source` stands so to `target`; `confidence` in [0, 1]."""

    source: str
    target: str
    kind: RelationKind
    confidence: float


class Relations:
    """Keeps relations between the documents of one tenant; they go with either document."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def relate(self, tenant: TenantId, relation: Relation) -> None:
        """Keep a relation; said again, its newest confidence counts.

        Raises:
            InvalidRequest: a document cannot stand so to itself; the confidence is out of bounds.
            NotFound: the tenant has no such document, or it was withdrawn.
        """
        if relation.source == relation.target:
            raise InvalidRequest("a document has no relation to itself")
        if not 0 <= relation.confidence <= 1:
            raise InvalidRequest(f"a confidence is in [0, 1], got {relation.confidence}")
        with self._database.transaction() as session:
            for identity in (relation.source, relation.target):
                row = session.get(DocumentRow, identity)
                if row is None or row.tenant != tenant or row.deleted is not None:
                    raise NotFound(f"no document {identity[:80]!r}")
            session.merge(
                RelationRow(
                    source=relation.source,
                    target=relation.target,
                    kind=relation.kind,
                    tenant=tenant,
                    confidence=relation.confidence,
                    created=self._clock(),
                )
            )

    def of(self, tenant: TenantId, document: str) -> Sequence[Relation]:
        """Return how a document stands to others, and others to it."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(RelationRow)
                .where(
                    RelationRow.tenant == tenant,
                    or_(RelationRow.source == document, RelationRow.target == document),
                )
                .order_by(RelationRow.source, RelationRow.target, RelationRow.kind)
            )
            return [
                Relation(row.source, row.target, cast("RelationKind", row.kind), row.confidence)
                for row in rows
            ]


def relate_all(
    session: Session,
    tenant: str,
    to: Mapping[str, tuple[str, float]],
    *,
    kind: RelationKind,
    now: datetime,
) -> None:
    """Keep, within a transaction, how new documents stand to others; one that is gone is left out.

    Args:
        session: The transaction, which holds the tenant's shelf.
        tenant: Whose documents they are.
        to: The other document and the confidence, by the id of the new one.
        kind: How they stand.
        now: When.
    """
    others = {other for other, _ in to.values()}
    there = {*session.scalars(select(DocumentRow.id).where(DocumentRow.id.in_(others)))}
    rows = [
        RelationRow(
            source=source, target=other, kind=kind, tenant=tenant, confidence=sure, created=now
        )
        for source, (other, sure) in to.items()
        if other in there
    ]
    session.add_all(rows)
