"""Audit: who decided what, provably."""

import json
from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from dryad.api.auth import Access, Admin
from dryad.api.shapes import Outgoing

router = APIRouter(prefix="/audit", tags=["audit"])


class VerificationOut(Outgoing):
    """What a look at the tenant's chain found."""

    tenant: str
    intact: bool
    rows: int
    bad: int | None
    reason: str
    unanchored: int


@router.get("", response_class=StreamingResponse)
def export(access: Admin) -> StreamingResponse:
    """Send the tenant's chain in order, one JSON object a line, with the codes that prove it."""
    return StreamingResponse(_lines(access), media_type="application/x-ndjson")


@router.get("/verification")
def verify(access: Admin) -> VerificationOut:
    """Follow the tenant's chain from its first row and name the first that is wrong."""
    return VerificationOut.model_validate(access.edge.services.audit.verify(access.tenant))


def _lines(access: Access) -> Iterator[str]:
    for row in access.edge.services.audit.export(access.tenant):
        yield json.dumps(row, default=str) + "\n"
