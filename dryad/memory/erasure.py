"""Forget for good: what speaks of a subject, and what has outlived its retention; with proof."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from itertools import groupby
from typing import Any, cast

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dryad.execution.memory_policy import ANY
from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import (
    CaseRow,
    DocumentRow,
    OriginRow,
    PassageRow,
    RecentRow,
    TaskRow,
)
from dryad.foundation.errors import InvalidRequest, NotFound
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import Archivist
from dryad.memory.librarian import Librarian
from dryad.memory.policies import MemoryPolicies

LEAST_CHARACTERS = 3
MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Erased:
    """What was erased of a subject, and what still holds it.

    Attributes:
        documents: Ids of documents that named it in text, title, origin, summary or other details.
        passages: How many passages went with them.
        values: Short-term values, as `agent/key`.
        tasks: Tasks of the tenant whose request, result or questions name it: records, which stay.
        mirrors: Copies that could not be reached, and lose what was erased when they can be.
        backups: Sets made before; each holds what was erased until it is removed.
        dry: Nothing was erased; this is what would be.
    """

    documents: tuple[str, ...]
    passages: int
    values: tuple[str, ...]
    tasks: int
    mirrors: tuple[str, ...]
    backups: tuple[str, ...]
    dry: bool


class Erasure:
    """Erases from the ledger, and through its stores from every mirror and index."""

    def __init__(
        self,
        database: Database,
        archivist: Archivist,
        librarian: Librarian,
        policies: MemoryPolicies,
        audit: Audit,
        *,
        backups: Callable[[], Sequence[str]] = lambda: (),
        mirrors: Callable[[], Sequence[str]] = lambda: (),
        clock: Clock = utc_now,
    ) -> None:
        """Prepare.

        Args:
            database: The ledger.
            archivist: Forgets short-term values, in its mirror too.
            librarian: Forgets documents, in its mirror too.
            policies: How long documents are kept.
            audit: Where it is said who erased how much.
            backups: Tells, in words, which backup sets there are and until when.
            mirrors: Tells, in words, which mirrors have yet to lose what the ledger has no more.
            clock: Tells the time.
        """
        self._database = database
        self._archivist = archivist
        self._librarian = librarian
        self._policies = policies
        self._audit = audit
        self._backups = backups
        self._mirrors = mirrors
        self._clock = clock

    def forget(
        self, tenant: TenantId, subject: str, *, by: str, reason: str, dry: bool = False
    ) -> Erased:
        """Erase whatever of the tenant's memory names `subject`, whoever owns it.

        A document is erased whole when one word of it names the subject: its text, its title, where
        it came from, its summary or anything else kept beside it. Notes about finished tasks and
        summaries are documents too. What was withdrawn before is erased as well.

        Args:
            tenant: Whose memory.
            subject: A name, 3-200 characters; case and white space make no difference, and it is
                found as whole words only.
            by: Who asks.
            reason: Why; kept in the audit with a digest of the subject, never the subject itself.
            dry: Only tell what would be erased.

        Raises:
            InvalidRequest: the subject is too short or too long, or there is no reason.
        """
        words = " ".join(subject.split())
        if not LEAST_CHARACTERS <= len(words) <= MOST_CHARACTERS:
            raise InvalidRequest(
                f"a subject has {LEAST_CHARACTERS}-{MOST_CHARACTERS} characters, got {len(words)}"
            )
        if not reason.strip():
            raise InvalidRequest("say why it is erased")
        named = _Named(words)
        with self._database.reading() as session:
            documents = _documents(session, tenant, named)
            values = _values(session, tenant, named)
            tasks = _tasks(session, tenant, named)
        passages = 0
        if not dry:
            passages = self._erase(tenant, documents, values)
            self._record(tenant, words, by=by, reason=reason, documents=documents, values=values)
        return Erased(
            documents=tuple(documents),
            passages=passages,
            values=tuple(f"{agent}/{key}" for agent, key in values),
            tasks=tasks,
            mirrors=tuple(self._mirrors()),
            backups=tuple(self._backups()),
            dry=dry,
        )

    def expire(self, tenant: TenantId) -> int:
        """Erase documents that have outlived the policy's retention; return how many."""
        days = self._policies.current(tenant).retention_days
        if not days:
            return 0
        now = self._clock()
        listed = [category for category in days if category != ANY]
        old = [
            (DocumentRow.category == category)
            & (DocumentRow.created < now - timedelta(days=days[category]))
            for category in listed
        ]
        if ANY in days:
            rest = DocumentRow.category.not_in(listed)
            old.append(rest & (DocumentRow.created < now - timedelta(days=days[ANY])))
        with self._database.reading() as session:
            ids = session.scalars(
                select(DocumentRow.id).where(DocumentRow.tenant == tenant, or_(*old))
            ).all()
        self._erase(tenant, ids, [])
        if ids:
            self._audit.append(
                tenant,
                "memory_expired",
                actor="keeper",
                subject="memory",
                data={"documents": list(ids)},
            )
        return len(ids)

    def _erase(
        self, tenant: TenantId, documents: Sequence[str], values: Sequence[tuple[str, str]]
    ) -> int:
        passages = 0
        for agent, key in values:
            self._archivist.forget(tenant, agent, key)
        for document in documents:
            try:
                passages += self._librarian.forget(tenant, document)
            except NotFound:  # somebody else erased it meanwhile
                continue
        if self._database.is_sqlite and (documents or values):
            # Older versions of the pages leave the write-ahead log as well.
            with self._database.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return passages

    def _record(
        self,
        tenant: TenantId,
        subject: str,
        *,
        by: str,
        reason: str,
        documents: Sequence[str],
        values: Sequence[tuple[str, str]],
    ) -> None:
        self._audit.append(
            tenant,
            "memory_erased",
            actor=by,
            subject="memory",
            data={
                "subject_sha256": sha256(subject.casefold().encode()).hexdigest(),
                "reason": reason[:500],
                "documents": list(documents),
                "values": len(values),
            },
        )


class _Named:
    """Tells whether a text, or any text within JSON, names the subject."""

    def __init__(self, words: str) -> None:
        parts = [re.escape(part) for part in words.split(" ")]
        spaced = r"\s+".join(parts)
        self._pattern = re.compile(rf"(?<!\w){spaced}(?!\w)", re.IGNORECASE)

    def within(self, *values: Any) -> bool:
        return any(self._pattern.search(text) for value in values for text in _strings(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _strings(item)


def _documents(session: Session, tenant: TenantId, named: _Named) -> list[str]:
    """Return every document that names the subject; a name may cross from passage to passage."""
    rows = session.execute(
        select(DocumentRow.id, DocumentRow.title, DocumentRow.origin, DocumentRow.details).where(
            DocumentRow.tenant == tenant
        )
    )
    found = {identity for identity, *labels in rows if named.within(*labels)}
    further = session.execute(
        select(OriginRow.document, OriginRow.origin).where(OriginRow.tenant == tenant)
    )
    found |= {document for document, origin in further if named.within(origin)}
    passages = session.execute(
        select(PassageRow.document, PassageRow.section, PassageRow.text)
        .where(PassageRow.tenant == tenant)
        .order_by(PassageRow.document, PassageRow.start)
        .execution_options(yield_per=1_000)
    )
    for document, pieces in groupby(passages, key=lambda row: row[0]):
        told = [(section, text) for _, section, text in pieces]
        whole = " ".join(text for _, text in told)
        if named.within(whole, *{section for section, _ in told}):
            found.add(document)
    return sorted(found)


def _values(session: Session, tenant: TenantId, named: _Named) -> list[tuple[str, str]]:
    rows = session.scalars(select(RecentRow).where(RecentRow.tenant == tenant))
    return [(row.agent, row.key) for row in rows if named.within(row.key, row.value)]


def _tasks(session: Session, tenant: TenantId, named: _Named) -> int:
    rows = session.scalars(select(TaskRow).where(TaskRow.tenant == tenant))
    found = {row.id for row in rows if named.within(row.text, row.context, row.result)}
    cases = session.scalars(select(CaseRow).where(CaseRow.tenant == tenant))
    told = ((row.task, (row.question, row.edited, row.verdict)) for row in cases)
    return len(found | {task for task, parts in told if named.within(*parts)})
