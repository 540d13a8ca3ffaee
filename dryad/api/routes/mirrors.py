"""Mirrors of memory in Redis and Chroma: how they are, made anew, compared with the ledger."""

from typing import Literal

from fastapi import APIRouter

from dryad.api.auth import Operator
from dryad.api.edge import Edge
from dryad.api.shapes import Outgoing, Page
from dryad.foundation.errors import NotFound
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy

router = APIRouter(prefix="/memory/mirrors", tags=["memory"])

Server = Literal["redis", "chroma"]


class MirrorOut(Outgoing):
    """A mirror as it stands: `trouble` says why nobody reads it, '' when it is read."""

    server: str
    generation: int
    trouble: str
    waiting: int


class DifferencesOut(Outgoing):
    """What a mirror held otherwise than the ledger; all of it was mended."""

    server: str
    checked: int
    missing: int
    extra: int
    stale: int


@router.get("")
def list_mirrors(access: Operator) -> Page[MirrorOut]:
    """List the mirrors that are in use; none where memory is embedded."""
    return Page[MirrorOut](
        items=[_shown(server, copy) for server, copy in access.edge.services.mirrors.items()]
    )


@router.post("/{server}/rebuild", status_code=202)
def rebuild(server: Server, access: Operator) -> MirrorOut:
    """Believe a mirror no longer; the keeper makes another copy, and the ledger answers meanwhile.

    Nothing is lost: the ledger is the truth.
    """
    copy = _copy(access.edge, server)
    copy.states.doubt("another copy was asked for")
    return _shown(server, copy)


@router.post("/{server}/check")
def check(server: Server, access: Operator) -> DifferencesOut:
    """Compare a mirror with the ledger row by row, and mend what differs."""
    found = _copy(access.edge, server).check()
    return DifferencesOut(
        server=server,
        checked=found.checked,
        missing=found.missing,
        extra=found.extra,
        stale=found.stale,
    )


def _copy(edge: Edge, server: Server) -> RecentCopy | IndexCopy:
    copy = edge.services.mirrors.get(server)
    if copy is None:
        raise NotFound(
            f"this installation has no mirror in {server}",
            "Memory is embedded; `docs/how-to/grow.md` says how it grows.",
        )
    return copy


def _shown(server: str, copy: RecentCopy | IndexCopy) -> MirrorOut:
    return MirrorOut(
        server=server,
        generation=copy.states.read().generation,
        trouble=copy.trouble(),
        waiting=copy.states.waiting(),
    )
