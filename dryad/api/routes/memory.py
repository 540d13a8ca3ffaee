"""Memory: what a tenant's agents can find and cite."""

import json
from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from dryad.api.auth import Rememberer
from dryad.api.shapes import Incoming, JsonObject, Limit, Name, Outgoing, Page, Ref, plain_text
from dryad.execution.memories import Document, Provenance, SourceType
from dryad.execution.memory_policy import RESERVED
from dryad.foundation.errors import InvalidRequest

router = APIRouter(prefix="/memory", tags=["memory"])

_EXAMPLE: JsonDict = {
    "title": "Retention",
    "text": "# Retention\n\nRecords are kept for seven years.",
    "origin": "handbook/retention.md",
}

_DETAILS = "A JSON object: only documents whose details have these names with these values"

Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(plain_text)]
Category = Annotated[str | None, Query(pattern=r"^[a-z0-9_-]{1,64}$")]


class DocumentIn(Incoming):
    """A text to be kept; at most 5 MB."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    title: Text
    text: Text
    origin: Text = Field(
        description="Path or address it came from; shown when it is cited. One that DRYAD gives "
        "itself (`agent:…`, `task:…`, `dialogue:…`) needs the scope admin"
    )
    category: Name = "general"
    source_type: SourceType = "document"
    provenance: Provenance = Field(
        default="untrusted", description="`trusted` needs the scope admin"
    )
    agent: Name | None = Field(default=None, description="Owner; null: everybody in the tenant")
    details: JsonObject = Field(default={})
    compared: bool = Field(
        default=False, description="Say which text of the same owner it is almost the same as"
    )
    replace: bool = Field(
        default=False, description="Withdraw what came from the same origin with another text"
    )


class ShelvedOut(Outgoing):
    """Where a document went."""

    id: str
    passages: int
    duplicate_of: str | None
    near: str | None = Field(description="With `compared`: what it is almost the same as")
    likeness: float


class PassageOut(Outgoing):
    """A piece of a document: characters `[start, stop)` of its text."""

    document: str
    title: str
    section: str
    start: int
    stop: int
    text: str
    origin: str
    category: str
    provenance: Provenance
    agent: str
    score: float
    parts: dict[str, float]


class Found(Page[PassageOut]):
    """Passages, and how they were looked for."""

    searched_by: str = Field(description="`words`, or the model that found by meaning as well")
    degraded: str = Field(description="Why a mirror was done without; the ledger answered instead")


class DocumentOut(Outgoing):
    """A document as it is kept."""

    id: str
    title: str
    origin: str
    category: str
    source_type: SourceType
    provenance: Provenance
    agent: str
    details: dict[str, Any]
    created: datetime


class DocumentDetail(DocumentOut):
    """A document with its pieces in order: section, start, text."""

    passages: list[tuple[str, int, str]]


@router.get("/search")
def search(
    access: Rememberer,
    *,
    q: Annotated[str, Query(max_length=10_000, description="Any text; it has no syntax")],
    limit: Annotated[int, Query(ge=1, le=100)] = 5,
    category: Category = None,
    since: Annotated[datetime | None, Query(description="Kept at this time or later")] = None,
    until: Annotated[datetime | None, Query(description="Kept before this time")] = None,
    details: Annotated[str, Query(max_length=2_000, description=_DETAILS)] = "{}",
) -> Found:
    """Find passages that answer `q` by their words and, with a model, by meaning; best first."""
    librarian = access.edge.services.librarian
    found = librarian.search(
        access.tenant,
        q,
        limit,
        category=category,
        since=since,
        until=until,
        details=_object(details),
    )
    return Found(
        items=[PassageOut.model_validate(passage) for passage in found],
        searched_by=librarian.searches_by,
        degraded=librarian.degraded,
    )


@router.get("/documents")
def list_documents(
    access: Rememberer,
    limit: Limit = 100,
    category: Category = None,
    after: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = "",
) -> Page[DocumentOut]:
    """List the tenant's documents, oldest first."""
    found = access.edge.services.librarian.list(
        access.tenant, category=category, limit=limit, after=after
    )
    cursor = found[-1].id if len(found) == limit else None
    return Page[DocumentOut](
        items=[DocumentOut.model_validate(kept) for kept in found], next=cursor
    )


@router.post(
    "/documents", status_code=201, responses={200: {"model": ShelvedOut, "description": "Known"}}
)
def shelve(body: DocumentIn, access: Rememberer, response: Response) -> ShelvedOut:
    """Keep a document so that the next search finds it; 200 when its text is known already."""
    if body.provenance == "trusted" or body.origin.startswith(RESERVED):
        access.caller.require("admin")
    shelved = access.edge.services.librarian.shelve(
        access.tenant, _document(body), replace=body.replace
    )
    if shelved.duplicate_of:
        response.status_code = 200
    return ShelvedOut.model_validate(shelved)


@router.get("/documents/{document_id}")
def show(document_id: Ref, access: Rememberer) -> DocumentDetail:
    """Show one document with its passages."""
    kept = access.edge.services.librarian.read(access.tenant, document_id)
    return DocumentDetail.model_validate(kept)


@router.delete("/documents/{document_id}", status_code=204)
def forget(document_id: Ref, access: Rememberer) -> None:
    """Remove a document and its passages for good."""
    access.edge.services.librarian.forget(access.tenant, document_id)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"details is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRequest("details must be a JSON object")
    return cast("dict[str, Any]", found)


def _document(body: DocumentIn) -> Document:
    values = body.model_dump(exclude={"replace", "agent"})
    return Document(**values, agent=body.agent or "")
