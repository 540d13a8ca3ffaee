"""Short-term memory as a tenant sees it: what agents remember now, and until when."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from dryad.api.auth import Rememberer
from dryad.api.shapes import Limit, Outgoing, Page
from dryad.execution.memories import Provenance
from dryad.foundation.errors import NotFound
from dryad.memory.archivist import MAX_KEY_CHARACTERS

router = APIRouter(prefix="/memory/values", tags=["memory"])

_NAME = r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$"
_PATTERN = "A key in which `*` stands for any characters"


class ValueOut(Outgoing):
    """A value of one agent, until it expires."""

    agent: str
    key: str
    value: Any
    provenance: Provenance = Field(description="Untrusted: data, whatever it says")
    expires: datetime


@router.get("")
def list_values(
    access: Rememberer,
    agent: Annotated[str | None, Query(pattern=_NAME, description="Default: every agent's")] = None,
    pattern: Annotated[
        str, Query(min_length=1, max_length=MAX_KEY_CHARACTERS, description=_PATTERN)
    ] = "*",
    limit: Limit = 100,
) -> Page[ValueOut]:
    """List what agents remember for a short time, by agent and key; nothing that has expired."""
    found = access.edge.services.archivist.list(access.tenant, agent, pattern, limit=limit)
    return Page[ValueOut](items=[ValueOut.model_validate(one) for one in found])


@router.delete("/{agent}/{key:path}", status_code=204)
def forget_value(
    agent: Annotated[str, Path(pattern=_NAME)], key: Annotated[str, Path()], access: Rememberer
) -> None:
    """Forget one value, in the ledger and in its mirror."""
    if not access.edge.services.archivist.forget(access.tenant, agent, key):
        raise NotFound(f"agent {agent!r} remembers nothing under {key[:80]!r}")
