"""Long-term memory: shelve documents, find their passages again, cite them."""

from collections.abc import Collection, Sequence
from typing import Any, cast

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dryad.execution.memories import (
    Document,
    Kept,
    Passage,
    Provenance,
    Shelved,
    SourceType,
)
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import DocumentRow, PassageRow, ShelfRow, TenantRow
from dryad.foundation.errors import InvalidRequest, NotFound
from dryad.foundation.ids import TenantId, new_id
from dryad.memory.documents import Prepared, prepare
from dryad.memory.shelf import Ranked, Shelves
from dryad.memory.words import terms

MAX_QUERY_CHARACTERS = 10_000
MAX_RESULTS = 100


class Librarian:
    """Keeps documents in the ledger, tenant by tenant; every process may search and shelve."""

    def __init__(
        self, database: Database, *, clock: Clock = utc_now, resident_bytes: int = 128_000_000
    ) -> None:
        self._database = database
        self._clock = clock
        self._shelves = Shelves(resident_bytes=resident_bytes)

    # -- in

    def shelve(self, tenant: TenantId, document: Document, *, replace: bool = False) -> Shelved:
        """Keep one document; see `shelve_all`."""
        return self.shelve_all(tenant, [document], replace=replace)[0]

    def shelve_all(
        self, tenant: TenantId, documents: Sequence[Document], *, replace: bool = False
    ) -> list[Shelved]:
        """Keep documents, all or none, so that the next search of any process finds them.

        The same words (white space and case aside) of the same owner are kept once. A repeated
        text keeps its first title and origin; it is untrusted as soon as one who brought it was.

        Args:
            tenant: Whose memory.
            documents: At most 5 MB of text each.
            replace: Withdraw what the same owner had from the same origin with another text.

        Returns:
            One answer for each document, in order.

        Raises:
            InvalidRequest: a text is empty, too long, or not storable; a name is malformed.
            NotFound: there is no such tenant.
        """
        prepared = [prepare(document) for document in documents]
        with self._database.transaction() as session:
            shelf = _locked_shelf(session, tenant, sqlite_=self._database.is_sqlite)
            return [self._write(session, shelf, item, replace=replace) for item in prepared]

    def _write(
        self, session: Session, shelf: ShelfRow, item: Prepared, *, replace: bool
    ) -> Shelved:
        document = item.document
        row = session.scalar(
            select(DocumentRow).where(
                DocumentRow.tenant == shelf.tenant,
                DocumentRow.agent == document.agent,
                DocumentRow.content_hash == item.content_hash,
            )
        )
        duplicate_of = row.id if row and not row.deleted else None
        if row is None:
            row = DocumentRow(
                id=new_id("doc"),
                tenant=shelf.tenant,
                agent=document.agent,
                category=document.category,
                source_type=document.source_type,
                provenance=document.provenance,
                origin=document.origin,
                title=document.title,
                content_hash=item.content_hash,
                details=dict(document.details),
                created=self._clock(),
            )
            session.add(row)
            session.flush()
            _write_passages(session, shelf, row, item)
        elif row.deleted:  # comes back with new passage numbers, so that every shelf sees it
            row.deleted, row.origin, row.title = None, document.origin, document.title
            session.execute(_passages_of(row))
            _write_passages(session, shelf, row, item)
        if document.provenance == "untrusted":
            row.provenance = "untrusted"
        if replace:
            _withdraw_others(session, shelf, row, self._clock())
        return Shelved(row.id, len(item.pieces), duplicate_of)

    # -- out

    def search(
        self,
        tenant: TenantId,
        query: str,
        limit: int = 5,
        *,
        category: str | None = None,
        agents: Collection[str] | None = None,
    ) -> list[Passage]:
        """Return the passages that share words with `query`, best first.

        Args:
            tenant: Whose memory.
            query: Any text of at most 10,000 characters; it has no syntax.
            limit: Most passages returned, 1-100.
            category: Only documents of this category.
            agents: Only documents of these owners; None: of everybody in the tenant.

        Returns:
            Passages with a score > 0, made of `parts["bm25"]`.

        Raises:
            InvalidRequest: the query is too long, or the limit out of bounds.
        """
        if len(query) > MAX_QUERY_CHARACTERS:
            raise InvalidRequest(f"a query has at most {MAX_QUERY_CHARACTERS:,} characters")
        if not 1 <= limit <= MAX_RESULTS:
            raise InvalidRequest(f"limit must be 1-{MAX_RESULTS}, got {limit}")
        with self._database.reading() as session:
            shelf = self._shelves.current(tenant, session)
            ranked = shelf.rank(terms(query), limit=limit, category=category, agents=agents)
            return _cited(session, tenant, ranked)

    def read(self, tenant: TenantId, document: str) -> Kept:
        """Return one document with its passages.

        Raises:
            NotFound: the tenant has no such document, or it was withdrawn.
        """
        with self._database.reading() as session:
            row = _living(session, tenant, document)
            passages = session.scalars(
                select(PassageRow)
                .where(PassageRow.tenant == tenant, PassageRow.document == row.id)
                .order_by(PassageRow.start)
            )
            return _kept(row, tuple((p.section, p.start, p.text) for p in passages))

    def list(
        self,
        tenant: TenantId,
        *,
        category: str | None = None,
        limit: int = 100,
        after: str = "",
    ) -> list[Kept]:
        """Return documents without their passages by id, beginning after the id `after`."""
        with self._database.reading() as session:
            query = select(DocumentRow).where(
                DocumentRow.tenant == tenant, DocumentRow.deleted.is_(None), DocumentRow.id > after
            )
            if category is not None:
                query = query.where(DocumentRow.category == category)
            return [_kept(row) for row in session.scalars(query.order_by("id").limit(limit))]

    def count(self, tenant: TenantId, *, category: str | None = None) -> int:
        """Return how many documents the tenant has."""
        with self._database.reading() as session:
            query = select(func.count()).where(
                DocumentRow.tenant == tenant, DocumentRow.deleted.is_(None)
            )
            if category is not None:
                query = query.where(DocumentRow.category == category)
            return session.scalar(query) or 0

    def find(self, tenant: TenantId, agent: str, origin: str) -> str | None:
        """Return the newest document an owner has from `origin`."""
        with self._database.reading() as session:
            return session.scalar(
                select(DocumentRow.id)
                .where(
                    DocumentRow.tenant == tenant,
                    DocumentRow.agent == agent,
                    DocumentRow.origin == origin,
                    DocumentRow.deleted.is_(None),
                )
                .order_by(DocumentRow.created.desc(), DocumentRow.id.desc())
                .limit(1)
            )

    # -- away

    def withdraw(self, tenant: TenantId, document: str) -> None:
        """Take a document out of every search; shelving the same text brings it back.

        Raises:
            NotFound: the tenant has no such document, or it was withdrawn.
        """
        with self._database.transaction() as session:
            shelf = _locked_shelf(session, tenant, sqlite_=self._database.is_sqlite)
            _living(session, tenant, document).deleted = self._clock()
            shelf.removals += 1

    def forget(self, tenant: TenantId, document: str) -> int:
        """Remove a document and its passages from the ledger; return how many passages went.

        On SQLite the freed bytes are overwritten. Backups made earlier still hold them.

        Raises:
            NotFound: the tenant has no such document.
        """
        with self._database.transaction() as session:
            if self._database.is_sqlite:
                session.connection().exec_driver_sql("PRAGMA secure_delete=ON")
            shelf = _locked_shelf(session, tenant, sqlite_=self._database.is_sqlite)
            row = session.get(DocumentRow, document)
            if row is None or row.tenant != tenant:
                raise NotFound(f"no document {document[:80]!r}")
            passages = session.scalar(
                select(func.count()).where(
                    PassageRow.tenant == tenant, PassageRow.document == document
                )
            )
            session.execute(_passages_of(row))
            session.delete(row)
            shelf.removals += 1
            return passages or 0


def _locked_shelf(session: Session, tenant: TenantId, *, sqlite_: bool) -> ShelfRow:
    """Lock the tenant's long-term memory for writing until the transaction ends."""
    locked = select(ShelfRow).where(ShelfRow.tenant == tenant).with_for_update()
    row = session.scalar(locked)
    if row is None:
        if session.get(TenantRow, tenant) is None:
            raise NotFound(f"no tenant {tenant[:80]!r}")
        insert = sqlite.insert if sqlite_ else postgresql.insert
        new = insert(ShelfRow).values(tenant=tenant, written=0, removals=0)
        session.execute(new.on_conflict_do_nothing())
        row = session.scalars(locked).one()
    return row


def _write_passages(session: Session, shelf: ShelfRow, row: DocumentRow, item: Prepared) -> None:
    text = item.document.text
    session.execute(
        PassageRow.__table__.insert(),  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]
        [
            {
                "tenant": shelf.tenant,
                "number": number,
                "document": row.id,
                "section": piece.section,
                "start": piece.start,
                "stop": piece.stop,
                "text": text[piece.start : piece.stop],
                "words": words.words,
                "bag": words.entries,
            }
            for number, (piece, words) in enumerate(
                zip(item.pieces, item.bags, strict=True), start=shelf.written + 1
            )
        ],
    )
    shelf.written += len(item.pieces)


def _withdraw_others(session: Session, shelf: ShelfRow, row: DocumentRow, now: Any) -> None:
    changed = session.execute(
        update(DocumentRow)
        .where(
            DocumentRow.tenant == row.tenant,
            DocumentRow.agent == row.agent,
            DocumentRow.origin == row.origin,
            DocumentRow.id != row.id,
            DocumentRow.deleted.is_(None),
        )
        .values(deleted=now)
    )
    shelf.removals += int(changed.rowcount > 0)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]


def _passages_of(row: DocumentRow) -> Any:
    return delete(PassageRow).where(PassageRow.tenant == row.tenant, PassageRow.document == row.id)


def _living(session: Session, tenant: TenantId, document: str) -> DocumentRow:
    row = session.get(DocumentRow, document)
    if row is None or row.tenant != tenant or row.deleted:
        raise NotFound(f"no document {document[:80]!r}")
    return row


def _cited(session: Session, tenant: TenantId, ranked: Sequence[Ranked]) -> list[Passage]:
    """Read what was found; the ledger has the last word on whether it still exists."""
    found = {
        passage.number: (passage, document)
        for passage, document in session.execute(
            select(PassageRow, DocumentRow)
            .join(DocumentRow, DocumentRow.id == PassageRow.document)
            .where(
                PassageRow.tenant == tenant,
                PassageRow.number.in_([hit.number for hit in ranked]),
                DocumentRow.tenant == tenant,
                DocumentRow.deleted.is_(None),
            )
        )
    }
    return [
        Passage(
            document=document.id,
            title=document.title,
            section=passage.section,
            start=passage.start,
            stop=passage.stop,
            text=passage.text,
            origin=document.origin,
            category=document.category,
            provenance=cast("Provenance", document.provenance),
            agent=document.agent,
            score=hit.score,
            parts={"bm25": hit.score},
        )
        for hit in ranked
        if hit.number in found
        for passage, document in [found[hit.number]]
    ]


def _kept(row: DocumentRow, passages: tuple[tuple[str, int, str], ...] = ()) -> Kept:
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
