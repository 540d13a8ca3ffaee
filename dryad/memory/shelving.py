"""Write a batch of documents into the ledger, inside the caller's transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dryad.execution.memories import Shelved
from dryad.foundation.database.models import DocumentRow, PassageRow, ShelfRow, TenantRow
from dryad.foundation.errors import NotFound
from dryad.foundation.ids import TenantId, new_id
from dryad.memory import origins
from dryad.memory.documents import Prepared
from dryad.memory.near import keep
from dryad.memory.relations import relate_all

# Whole tables, not mapped classes: one statement for each batch, and a tenth of the time.
_DOCUMENTS = cast("Table", DocumentRow.__table__)
_PASSAGES = cast("Table", PassageRow.__table__)


class _Earlier(NamedTuple):
    """A document with the same words of the same owner."""

    id: str
    withdrawn: bool
    origin: str


_Owned = tuple[str, str]
"""Whose a text is, and its hash."""

# Said once: putting a statement together costs as much as running it.
_LOCKED = select(ShelfRow).where(ShelfRow.tenant == bindparam("tenant")).with_for_update()
_SAME_WORDS = (
    _DOCUMENTS.c.tenant == bindparam("tenant"),
    _DOCUMENTS.c.content_hash.in_(bindparam("hashes", expanding=True)),
)
_LIVING = select(_DOCUMENTS.c.content_hash).where(*_SAME_WORDS, _DOCUMENTS.c.deleted.is_(None))
_EARLIER = select(
    *(_DOCUMENTS.c[name] for name in ("agent", "content_hash", "id", "deleted", "origin"))
).where(*_SAME_WORDS, _DOCUMENTS.c.agent.in_(bindparam("owners", expanding=True)))


def locked_shelf(session: Session, tenant: TenantId) -> ShelfRow:
    """Lock the tenant's long-term memory for writing until the transaction ends.

    Raises:
        NotFound: there is no such tenant.
    """
    row = session.scalar(_LOCKED, {"tenant": tenant})
    if row is None:
        if session.get(TenantRow, tenant) is None:
            raise NotFound(f"no tenant {tenant[:80]!r}")
        insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
        new = insert[session.get_bind().dialect.name](ShelfRow)
        session.execute(new.values(tenant=tenant, written=0, removals=0).on_conflict_do_nothing())
        row = session.scalars(_LOCKED, {"tenant": tenant}).one()
    return row


def write(
    session: Session,
    shelf: ShelfRow,
    items: Sequence[Prepared],
    *,
    embedder: str | None,
    now: datetime,
    replace: bool,
    gone: Callable[[str], object],
) -> list[Shelved]:
    """Write what is new of `items`; see `Librarian.shelve_all`.

    Told by `gone` of each document whose passages, up to the highest number now, are no more.
    """
    known = _known(session, shelf.tenant, items)
    _clear_withdrawn(session, known.values(), gone)
    answers, fresh = _told_apart(items, known)
    if fresh:
        _insert(session, shelf, fresh, embedder=embedder, now=now)
    _distrust(session, items, answers)
    named = [
        (item.document.agent, item.document.origin, answer.id)
        for item, answer in zip(items, answers, strict=True)
    ]
    first = {earlier.id: earlier.origin for earlier in known.values()}
    further = ((document, origin) for _, origin, document in named if first[document] != origin)
    origins.note(session, shelf.tenant, further)
    if replace:
        latest = {(agent, origin): document for agent, origin, document in named}
        older, _ = origins.leave(session, shelf.tenant, latest, now=now)
        shelf.removals += int(bool(older))
        for identity in older:
            gone(identity)
    return answers


def _clear_withdrawn(
    session: Session, known: Iterable[_Earlier], gone: Callable[[str], object]
) -> None:
    """Remove what comes back: written anew, under new numbers, every shelf sees it."""
    returning = [earlier.id for earlier in known if earlier.withdrawn]
    if returning:
        session.execute(delete(DocumentRow).where(DocumentRow.id.in_(returning)))
    for identity in returning:
        gone(identity)


def _told_apart(
    items: Sequence[Prepared], known: dict[_Owned, _Earlier]
) -> tuple[list[Shelved], dict[str, Prepared]]:
    """Return an answer for each item, and by id those whose words are not kept yet."""
    answers: list[Shelved] = []
    fresh: dict[str, Prepared] = {}
    for item in items:
        key = (item.document.agent, item.content_hash)
        earlier = known.get(key)
        if earlier and not earlier.withdrawn:
            answers.append(Shelved(earlier.id, len(item.pieces), duplicate_of=earlier.id))
            continue
        identity = earlier.id if earlier else new_id("doc")
        known[key] = _Earlier(identity, withdrawn=False, origin=item.document.origin)
        near, alike = item.near or (None, 0.0)
        answers.append(Shelved(identity, len(item.pieces), near=near, likeness=alike))
        fresh[identity] = item
    return answers, fresh


def _insert(
    session: Session,
    shelf: ShelfRow,
    fresh: Mapping[str, Prepared],
    *,
    embedder: str | None,
    now: datetime,
) -> None:
    documents: list[dict[str, Any]] = []
    passages: list[dict[str, Any]] = []
    for identity, item in fresh.items():
        documents.append(_document(item, shelf.tenant, identity, now))
        passages += _passages(item, shelf, identity, embedder)
        shelf.written += len(item.pieces)
    session.execute(_DOCUMENTS.insert(), documents)
    session.execute(_PASSAGES.insert(), passages)
    compared = [(identity, i.document) for identity, i in fresh.items() if i.document.compared]
    keep(session, shelf.tenant, compared)
    repeated = {identity: item.near for identity, item in fresh.items() if item.near}
    if repeated:
        relate_all(session, shelf.tenant, repeated, kind="related", now=now)


def living_hashes(session: Session, tenant: TenantId, items: Iterable[Prepared]) -> set[str]:
    """Return which of the items' texts somebody in the tenant has already."""
    hashes = {item.content_hash for item in items}
    return set(session.scalars(_LIVING, {"tenant": tenant, "hashes": [*hashes]}))


def pending(
    session: Session, tenant: TenantId, embedder: str, *, limit: int
) -> list[tuple[int, str]]:
    """Return numbers and words of passages that have no vector of this model."""
    rows = session.execute(
        select(PassageRow.number, DocumentRow.title, PassageRow.section, PassageRow.text)
        .join(DocumentRow, DocumentRow.id == PassageRow.document)
        .where(
            PassageRow.tenant == tenant,
            PassageRow.embedder.is_distinct_from(embedder),
            DocumentRow.deleted.is_(None),
        )
        .order_by(PassageRow.number)
        .limit(limit)
    )
    return [(number, f"{title}\n{section}\n{text}") for number, title, section, text in rows]


def pending_count(session: Session, tenant: TenantId, embedder: str) -> int:
    """Return how many passages have no vector of this model."""
    return (
        session.scalar(
            select(func.count())
            .select_from(PassageRow)
            .join(DocumentRow, DocumentRow.id == PassageRow.document)
            .where(
                PassageRow.tenant == tenant,
                PassageRow.embedder.is_distinct_from(embedder),
                DocumentRow.deleted.is_(None),
            )
        )
        or 0
    )


def renumber(
    session: Session,
    shelf: ShelfRow,
    numbers: Sequence[int],
    vectors: Sequence[bytes],
    *,
    embedder: str,
) -> int:
    """Give passages their vectors, and new numbers so that every shelf sees it; return how many."""
    moved = 0
    for number, vector in zip(numbers, vectors, strict=True):
        done = session.scalar(
            update(PassageRow)
            .where(PassageRow.tenant == shelf.tenant, PassageRow.number == number)
            .values(number=shelf.written + 1 + moved, embedder=embedder, vector=vector)
            .returning(PassageRow.number)
            .execution_options(synchronize_session=False)
        )
        moved += int(done is not None)
    shelf.written += moved
    shelf.removals += 1
    return moved


def _known(session: Session, tenant: str, items: Iterable[Prepared]) -> dict[_Owned, _Earlier]:
    wanted = {(item.document.agent, item.content_hash) for item in items}
    owners, hashes = {owner for owner, _ in wanted}, {content_hash for _, content_hash in wanted}
    rows = session.execute(_EARLIER, {"tenant": tenant, "owners": [*owners], "hashes": [*hashes]})
    return {
        (agent, content_hash): _Earlier(identity, withdrawn=deleted is not None, origin=origin)
        for agent, content_hash, identity, deleted, origin in rows
        if (agent, content_hash) in wanted
    }


def _document(item: Prepared, tenant: str, identity: str, now: datetime) -> dict[str, Any]:
    document = item.document
    return {
        "id": identity,
        "tenant": tenant,
        "agent": document.agent,
        "category": document.category,
        "source_type": document.source_type,
        "provenance": document.provenance,
        "origin": document.origin,
        "title": document.title,
        "content_hash": item.content_hash,
        "details": dict(document.details),
        "created": now,
        "deleted": None,
    }


def _passages(
    item: Prepared, shelf: ShelfRow, identity: str, embedder: str | None
) -> Iterable[dict[str, Any]]:
    text = item.document.text
    vectors = item.vectors or [None] * len(item.pieces)
    for number, (piece, bag, vector) in enumerate(
        zip(item.pieces, item.bags, vectors, strict=True), start=shelf.written + 1
    ):
        yield {
            "tenant": shelf.tenant,
            "number": number,
            "document": identity,
            "section": piece.section,
            "start": piece.start,
            "stop": piece.stop,
            "text": text[piece.start : piece.stop],
            "length": bag.length,
            "bag": bag.entries,
            "embedder": embedder if vector else None,
            "vector": vector,
        }


def _distrust(session: Session, items: Sequence[Prepared], answers: Sequence[Shelved]) -> None:
    """Mark what an untrusted source repeated: its words may no longer be believed."""
    repeated = {
        answer.id
        for item, answer in zip(items, answers, strict=True)
        if answer.duplicate_of and item.document.provenance == "untrusted"
    }
    if repeated:
        session.execute(
            update(DocumentRow).where(DocumentRow.id.in_(repeated)).values(provenance="untrusted")
        )
