"""Long-term memory: shelve documents, find their passages again, cite them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dryad.execution.memories import (
    Document,
    Kept,
    Passage,
    Shelved,
)
from dryad.execution.memory_policy import NO_RULES, MemoryPolicy
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import DocumentRow, PassageRow, ShelfRow
from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from dryad.foundation.ids import TenantId
from dryad.memory.among import Among
from dryad.memory.citing import cited, kept_of
from dryad.memory.documents import Prepared, prepare
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.near import nearest
from dryad.memory.origins import leave
from dryad.memory.shelf import Ranked, Shelves
from dryad.memory.shelving import (
    living_hashes,
    locked_shelf,
    pending,
    pending_count,
    renumber,
    write,
)
from dryad.memory.vectors import Embedder, Floats, packed
from dryad.memory.words import terms

MAX_BATCH = 1_000
MAX_QUERY_CHARACTERS = 10_000
MAX_RESULTS = 100
EMBEDDED_AT_ONCE = 64
"""Passages given a direction while a caller waits: a few seconds of work."""


class Librarian:
    """Keeps documents in the ledger, tenant by tenant; every process may search and shelve."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock = utc_now,
        embedder: Embedder | None = None,
        resident_bytes: int = 128_000_000,
        copy: IndexCopy | None = None,
        policy: Callable[[TenantId], MemoryPolicy] = lambda _tenant: NO_RULES,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            database: The ledger.
            clock: Tells the time.
            embedder: Finds by meaning too; None: by words only.
            resident_bytes: Memory for passages of all tenants; one tenant is always held whole.
            copy: Where the vectors are mirrored; None: they are held here.
            policy: Says of a tenant which sources may come in.
        """
        self._database = database
        self._clock = clock
        self._embedder = embedder
        self._copy = copy
        self._policy = policy
        self._shelves = Shelves(resident_bytes=resident_bytes, embedder=embedder)
        # With a mirror only words are held here, as long as it answers.
        self._words = Shelves(resident_bytes=resident_bytes) if copy else self._shelves

    @property
    def searches_by(self) -> str:
        """`words`, or the model that makes it search by meaning as well: to be said plainly."""
        return f"words and meaning ({self._embedder.name})" if self._embedder else "words"

    @property
    def degraded(self) -> str:
        """Why the newest search went without the mirror; '' when it did not."""
        return self._copy.missing if self._copy else ""

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
            documents: At most 1,000, of at most 5 MB of text each.
            replace: Withdraw what the same owner had from the same origin with another text.

        Returns:
            One answer for each document, in order.

        Raises:
            InvalidRequest: a text is empty, too long, or not storable; a name is malformed.
            NotFound: there is no such tenant.
            Refused: an origin is not among the sources of the tenant's policy.
        """
        if len(documents) > MAX_BATCH:
            raise InvalidRequest(f"at most {MAX_BATCH:,} documents are shelved at once")
        policy = self._policy(tenant)
        for document in documents:
            if not policy.admits(document.origin):
                raise Refused(
                    f"{document.origin[:200]!r} is not among the sources of this tenant's memory",
                    "An administrator adds it to `sources` with `dryad memory policy FILE`.",
                )
        items = self._with_near(tenant, [prepare(document) for document in documents])
        items = self._with_vectors(tenant, items)
        with self._database.transaction() as session:
            shelf = locked_shelf(session, tenant)
            before = shelf.written
            answers = write(
                session,
                shelf,
                items,
                embedder=self._embedder.name if self._embedder else None,
                now=self._clock(),
                replace=replace,
                gone=lambda document: self._taken(session, shelf, document),
            )
        if self._copy and shelf.written > before:
            self._copy.follow(tenant)
        return answers

    def embed_pending(self, tenant: TenantId, *, limit: int = EMBEDDED_AT_ONCE) -> int:
        """Give directions to passages that have none of this model; return to how many.

        Large documents are shelved without: they are found by word until this was called often
        enough to return 0. A new model makes every passage pending, while search goes on.
        """
        if self._embedder is None:
            return 0
        with self._database.reading() as session:
            waiting = pending(session, tenant, self._embedder.name, limit=limit)
        if not waiting:
            return 0
        vectors = packed(self._embedder.embed([told for _, told in waiting]))
        with self._database.transaction() as session:
            shelf = locked_shelf(session, tenant)
            numbers = [number for number, _ in waiting]
            moved = renumber(session, shelf, numbers, vectors, embedder=self._embedder.name)
        if self._copy:
            self._copy.follow(tenant)
        return moved

    def count_pending(self, tenant: TenantId) -> int:
        """Return how many passages have no direction of this model yet."""
        if self._embedder is None:
            return 0
        with self._database.reading() as session:
            return pending_count(session, tenant, self._embedder.name)

    def _with_near(self, tenant: TenantId, items: list[Prepared]) -> list[Prepared]:
        """Find, before any lock, what the ones to be compared are almost the same as."""
        if not any(item.document.compared for item in items):
            return items
        with self._database.reading() as session:
            return [
                item._replace(near=nearest(session, tenant, item.document))
                if item.document.compared
                else item
                for item in items
            ]

    def _with_vectors(self, tenant: TenantId, items: list[Prepared]) -> list[Prepared]:
        """Give directions to as many new pieces as a caller may wait for, before any lock."""
        if self._embedder is None:
            return items
        with self._database.reading() as session:
            known = living_hashes(session, tenant, items)
        left = EMBEDDED_AT_ONCE
        for place, item in enumerate(items):
            if item.content_hash not in known and len(item.pieces) <= left:
                left -= len(item.pieces)
                vectors = packed(self._embedder.embed(item.told))
                items[place] = item._replace(vectors=vectors)
        return items

    # -- out

    def search(
        self,
        tenant: TenantId,
        query: str,
        limit: int = 5,
        *,
        category: str | None = None,
        agents: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> list[Passage]:
        """Return the passages that answer `query` best, by its words and, with a model, by meaning.

        Args:
            tenant: Whose memory.
            query: Any text of at most 10,000 characters; it has no syntax.
            limit: Most passages returned, 1-100.
            category: Only documents of this category.
            agents: Only documents of these owners; None: of everybody in the tenant.
            since: Only documents kept at this time or later.
            until: Only documents kept before this time.
            details: Only documents whose details have these names with these values.

        Returns:
            Passages with a score > 0. Without a model `parts` is `bm25`; with one the score is in
            [0, 1], and `parts` are `words` and `meaning`.

        Raises:
            InvalidRequest: the query is too long, the limit out of bounds, or a filter malformed.
        """
        owners = None if agents is None else frozenset(agents)
        among = Among(category, owners, since, until, details or {})
        if len(query) > MAX_QUERY_CHARACTERS:
            raise InvalidRequest(f"a query has at most {MAX_QUERY_CHARACTERS:,} characters")
        if not 1 <= limit <= MAX_RESULTS:
            raise InvalidRequest(f"limit must be 1-{MAX_RESULTS}, got {limit}")
        direction = self._embedder.embed([query])[0] if self._embedder else None
        with self._database.reading() as session:
            ranked = self._ranked(
                session,
                tenant,
                terms(query),
                direction,
                limit=limit,
                among=among,
            )
            return cited(session, tenant, ranked)

    def _ranked(
        self,
        session: Session,
        tenant: TenantId,
        words: Sequence[int],
        direction: Floats | None,
        *,
        limit: int,
        among: Among,
    ) -> list[Ranked]:
        """Rank with the mirror's candidates where it has them all, else with the ledger's own."""
        numbers = among.numbers(session, tenant)
        if self._copy and direction is not None:
            shelf = self._words.current(tenant, session)
            if numbers is not None:  # the mirror does not know what is asked for
                cosines = self._copy.told(session, tenant, shelf, numbers, direction)
            else:
                cosines = self._copy.cosines(session, tenant, shelf, words, direction, among=among)
            if cosines is not None:
                return shelf.rank(
                    words, limit=limit, cosines=cosines, numbers=numbers, **among.filters
                )
        shelf = self._shelves.current(tenant, session)
        return shelf.rank(words, limit=limit, direction=direction, numbers=numbers, **among.filters)

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
            return kept_of(row, tuple((p.section, p.start, p.text) for p in passages))

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
            return [kept_of(row) for row in session.scalars(query.order_by("id").limit(limit))]

    def count(self, tenant: TenantId, *, category: str | None = None) -> int:
        """Return how many documents the tenant has."""
        with self._database.reading() as session:
            query = select(func.count()).where(
                DocumentRow.tenant == tenant, DocumentRow.deleted.is_(None)
            )
            if category is not None:
                query = query.where(DocumentRow.category == category)
            return session.scalar(query) or 0

    # -- away

    def withdraw(self, tenant: TenantId, document: str) -> None:
        """Take a document out of every search; shelving the same text brings it back.

        Raises:
            NotFound: the tenant has no such document, or it was withdrawn.
        """
        with self._database.transaction() as session:
            shelf = locked_shelf(session, tenant)
            _living(session, tenant, document).deleted = self._clock()
            shelf.removals += 1
            self._taken(session, shelf, document)
        if self._copy:
            self._copy.remove(tenant, document, upto=shelf.written)

    def withdraw_from(self, tenant: TenantId, agent: str, origins: Collection[str]) -> int:
        """Take these origins from what an owner has; what has no other goes out of every search.

        Returns:
            How many documents lost one.
        """
        nowhere = dict.fromkeys(((agent, origin) for origin in origins), "")
        with self._database.transaction() as session:
            shelf = locked_shelf(session, tenant)
            withdrawn, count = leave(session, tenant, nowhere, now=self._clock())
            shelf.removals += int(bool(withdrawn))
            for document in withdrawn:
                self._taken(session, shelf, document)
        if self._copy:
            for document in withdrawn:
                self._copy.remove(tenant, document, upto=shelf.written)
        return count

    def forget(self, tenant: TenantId, document: str) -> int:
        """Remove a document and its passages from the ledger; return how many passages went.

        On SQLite the freed bytes are overwritten. Backups made earlier still hold them.

        Raises:
            NotFound: the tenant has no such document.
        """
        with self._database.transaction() as session:
            shelf = locked_shelf(session, tenant)
            row = session.get(DocumentRow, document)
            if row is None or row.tenant != tenant:
                raise NotFound(f"no document {document[:80]!r}")
            passages = session.scalar(
                select(func.count()).where(
                    PassageRow.tenant == tenant, PassageRow.document == document
                )
            )
            session.delete(row)  # its passages go with it
            shelf.removals += 1
            self._taken(session, shelf, document)
        if self._copy:
            self._copy.remove(tenant, document, upto=shelf.written)
        return passages or 0

    def _taken(self, session: Session, shelf: ShelfRow, document: str) -> None:
        if self._copy:
            self._copy.taken(session, shelf, document)


def _living(session: Session, tenant: TenantId, document: str) -> DocumentRow:
    row = session.get(DocumentRow, document)
    if row is None or row.tenant != tenant or row.deleted:
        raise NotFound(f"no document {document[:80]!r}")
    return row
