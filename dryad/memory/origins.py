"""Where the words of a document came from: it is kept once, and while one of its origins has it."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dryad.foundation.canonical import digest
from dryad.foundation.database.models import DocumentRow, OriginRow

Owned = tuple[str, str]
"""Whose, and which origin."""


def note(session: Session, tenant: str, found: Iterable[tuple[str, str]]) -> None:
    """Note further origins of documents, each as (document, origin)."""
    rows = [
        {"tenant": tenant, "digest": digest(origin), "document": document, "origin": origin}
        for document, origin in found
    ]
    if rows:
        insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
        new = insert[session.get_bind().dialect.name](OriginRow)
        session.execute(new.on_conflict_do_nothing(), rows)


def leave(
    session: Session, tenant: str, now_at: Mapping[Owned, str], *, now: datetime
) -> tuple[list[str], int]:
    """Take origins from the documents that had them, and withdraw those that have none left.

    Args:
        session: The transaction, which holds the tenant's shelf.
        tenant: Whose documents they are.
        now_at: By owner and origin, the document that it names now; '' is none.
        now: When.

    Returns:
        Which documents were withdrawn, and how many lost an origin.
    """
    further = _further(session, tenant, now_at)
    if further:
        place = tuple_(OriginRow.digest, OriginRow.document)
        session.execute(
            delete(OriginRow).where(OriginRow.tenant == tenant, place.in_(further)),
            execution_options={"synchronize_session": False},
        )
    losing = _losing(session, tenant, now_at)
    others = _others(session, losing)
    for document, origin in others.items():
        told = update(DocumentRow).where(DocumentRow.id == document).values(origin=origin)
        session.execute(told)
        gone = delete(OriginRow).where(OriginRow.document == document)
        session.execute(gone.where(OriginRow.digest == digest(origin)))
    older = [document for document in losing if document not in others]
    if older:
        session.execute(update(DocumentRow).where(DocumentRow.id.in_(older)).values(deleted=now))
    return older, len(losing) + len(further)


def _further(session: Session, tenant: str, now_at: Mapping[Owned, str]) -> list[tuple[str, str]]:
    """Return, as (digest, document), which further origins their documents lose."""
    rows = session.execute(
        select(DocumentRow.agent, OriginRow.origin, OriginRow.digest, OriginRow.document)
        .join(DocumentRow, DocumentRow.id == OriginRow.document)
        .where(
            OriginRow.tenant == tenant,
            OriginRow.digest.in_({digest(origin) for _, origin in now_at}),
            DocumentRow.agent.in_({agent for agent, _ in now_at}),
        )
    )
    return [
        (told, document)
        for agent, origin, told, document in rows
        if now_at.get((agent, origin), document) != document
    ]


def _losing(session: Session, tenant: str, now_at: Mapping[Owned, str]) -> list[str]:
    """Return the documents that lose their first origin."""
    rows = session.execute(
        select(DocumentRow.agent, DocumentRow.origin, DocumentRow.id).where(
            DocumentRow.tenant == tenant,
            DocumentRow.agent.in_({agent for agent, _ in now_at}),
            DocumentRow.origin.in_({origin for _, origin in now_at}),
            DocumentRow.deleted.is_(None),
        )
    )
    return [
        document
        for agent, origin, document in rows
        if now_at.get((agent, origin), document) != document
    ]


def _others(session: Session, documents: Collection[str]) -> dict[str, str]:
    """Return another origin of each document that has one."""
    rows = session.execute(
        select(OriginRow.document, OriginRow.origin)
        .where(OriginRow.document.in_(documents))
        .order_by(OriginRow.origin.desc())
    )
    return {row.document: row.origin for row in rows}
