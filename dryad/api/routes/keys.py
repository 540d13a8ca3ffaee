"""Keys: who may call, made, replaced and revoked."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from dryad.api.auth import Access, Admin
from dryad.api.shapes import Incoming, Line, Outgoing, Page, Ref
from dryad.foundation.errors import NotFound
from dryad.foundation.keys import Key, Scope

router = APIRouter(prefix="/keys", tags=["keys"])


class KeyIn(Incoming):
    """A new key."""

    name: Line
    scopes: Annotated[list[Scope], Field(min_length=1)]
    expires: AwareDatetime | None = None


class Rotation(Incoming):
    """How long both keys are accepted."""

    overlap_seconds: int = Field(default=86_400, ge=0, le=90 * 86_400)


class KeyOut(Outgoing):
    """A key as it may be shown."""

    id: str
    tenant: str
    name: str
    scopes: list[Scope]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None


class NewKeyOut(Outgoing):
    """A key just made. `text` is shown this once and never again."""

    id: str
    text: str


@router.get("")
def list_keys(access: Admin) -> Page[KeyOut]:
    """List the tenant's keys, also those no longer accepted."""
    found = access.edge.services.keys.list(access.tenant)
    return Page[KeyOut](items=[KeyOut.model_validate(key) for key in found])


@router.post("", status_code=201)
def create(body: KeyIn, access: Admin) -> NewKeyOut:
    """Make a key; nobody gives away a scope they lack."""
    made = access.edge.services.keys.create(
        access.tenant, body.name, body.scopes, body.expires, by=access.caller
    )
    return NewKeyOut.model_validate(made)


@router.post("/{key_id}/rotate", status_code=201)
def rotate(key_id: Ref, access: Admin, body: Rotation | None = None) -> NewKeyOut:
    """Make a successor with the same rights; both are accepted during the overlap."""
    key = _held(access, key_id)
    overlap = timedelta(seconds=(body or Rotation()).overlap_seconds)
    return NewKeyOut.model_validate(access.edge.services.keys.rotate(key.id, overlap))


@router.delete("/{key_id}", status_code=204)
def revoke(key_id: Ref, access: Admin) -> None:
    """Accept the key no longer, from now on."""
    access.edge.services.keys.revoke(_held(access, key_id).id)


def _held(access: Access, key_id: str) -> Key:
    """Find a key of the tenant that gives no right its caller lacks."""
    key = access.edge.services.keys.get(key_id)
    if key.tenant != access.tenant:
        raise NotFound(f"no key {key_id!r}", "`dryad keys list` shows them.")
    for scope in key.scopes:
        access.caller.require(scope)
    return key
