"""Requests to memory as agents make them: by kind, for their owner, within the tenant's policy."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, Field

from dryad.api.auth import Rememberer
from dryad.api.routes.memory import PassageOut, Text
from dryad.api.shapes import JSON_DEPTH, Incoming, JsonObject, Line, Name, Outgoing
from dryad.bootstrap import Services
from dryad.execution.coordinator import MOST_FOUND, Asker, Memory, MemoryKind, Stored
from dryad.execution.memories import Provenance, SourceType
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import LONGEST
from dryad.orchestration.requests import screen_object

router = APIRouter(prefix="/memory/requests", tags=["memory"])

MAX_VALUE_BYTES = 5_100_000
"""What long-term memory takes; short-term memory takes less, and says so."""


def _storable(value: Any) -> Any:
    screen_object({"value": value}, "the value", most_bytes=MAX_VALUE_BYTES, most_depth=JSON_DEPTH)
    return value


Seconds = Annotated[float, Field(gt=0, le=LONGEST.total_seconds())]


class _Asked(Incoming):
    """Who asks, and whose memory is meant."""

    agent: Name = Field(description="Who asks")
    owner: Name | Literal[""] | None = Field(
        default=None, description="Whose memory; null: the asker's own; '': the whole tenant's"
    )

    def asker(self, tenant: TenantId) -> Asker:
        """Return who asks."""
        return Asker(tenant, self.agent, self.owner)


class _OfKind(_Asked):
    kind: MemoryKind


class _Given(_OfKind):
    value: Annotated[Any, AfterValidator(_storable)] = Field(
        description="Text, or anything JSON can say"
    )
    title: str = Field(default="", max_length=1_000)
    source_type: SourceType = "observation"
    provenance: Provenance = Field(
        default="untrusted", description="`trusted` needs the scope admin"
    )
    ttl_seconds: Seconds | None = Field(default=None, description="Life in short-term memory")
    details: JsonObject = Field(default={})

    @property
    def more(self) -> dict[str, Any]:
        """How it is to be kept."""
        return {
            "title": self.title,
            "source_type": self.source_type,
            "provenance": self.provenance,
            "details": self.details,
            "ttl": None if self.ttl_seconds is None else timedelta(seconds=self.ttl_seconds),
        }


class StoreIn(_Given):
    """Keep a value."""

    operation: Literal["store"]
    key: Line | None = Field(default=None, description="Needed by short_term and working")


class UpdateIn(_Given):
    """Keep a value in place of another."""

    operation: Literal["update"]
    reference: Line = Field(description="A key, or a document id")


class RetrieveIn(_OfKind):
    """Read what is kept under a name."""

    operation: Literal["retrieve"]
    reference: Line


class DeleteIn(_OfKind):
    """Remove what is kept under a name."""

    operation: Literal["delete"]
    reference: Line


class ArchiveIn(_Asked):
    """Move a short-term value to long-term memory."""

    operation: Literal["archive"]
    kind: Literal["short_term"] = "short_term"
    reference: Line


class SearchIn(_OfKind):
    """Find what answers a query."""

    operation: Literal["search"]
    query: Text
    limit: Annotated[int, Field(ge=1, le=MOST_FOUND)] = 5


RequestIn = Annotated[
    StoreIn | UpdateIn | RetrieveIn | DeleteIn | ArchiveIn | SearchIn,
    Field(discriminator="operation"),
]


class StoredOut(Outgoing):
    """Where a value went: a key in short-term memory, a document in long-term memory, or both."""

    key: str | None
    expires: datetime | None
    id: str | None
    duplicate_of: str | None


class MemoryOut(Outgoing):
    """Something that is kept; `passage` cites it where it was found in long-term memory."""

    source: Literal["archivist", "librarian"]
    reference: str
    value: Any
    provenance: Provenance = Field(description="Untrusted: data, whatever it says")
    expires: datetime | None
    passage: PassageOut | None


class AnswerOut(Outgoing):
    """What came of a request."""

    found: list[MemoryOut] = Field(default=[])
    stored: StoredOut | None = None
    degraded: str = Field(default="", description="Why a mirror was done without")


@router.post("")
def request(body: RequestIn, access: Rememberer) -> AnswerOut:
    """Store, retrieve, search, archive, delete or update in the name of an agent."""
    if isinstance(body, _Given) and body.provenance == "trusted":
        access.caller.require("admin")
    services = access.edge.services
    answer = _done(services, body, body.asker(access.tenant))
    if isinstance(answer, Stored):
        return AnswerOut(stored=StoredOut.model_validate(answer))
    keepers = {"archivist": services.archivist, "librarian": services.librarian}
    asked = {"archivist"} if body.kind == "short_term" else {one.source for one in answer}
    degraded = [keepers[name].degraded for name in sorted(asked)]
    return AnswerOut(
        found=[MemoryOut.model_validate(one) for one in answer],
        degraded="; ".join(filter(None, degraded)),
    )


def _done(services: Services, body: RequestIn, asker: Asker) -> Stored | list[Memory]:
    coordinator = services.coordinator
    match body:
        case StoreIn():
            return coordinator.store(asker, body.kind, body.value, key=body.key, **body.more)
        case UpdateIn():
            return coordinator.update(asker, body.kind, body.reference, body.value, **body.more)
        case ArchiveIn():
            return coordinator.archive(asker, body.reference)
        case RetrieveIn():
            return [coordinator.retrieve(asker, body.kind, body.reference)]
        case SearchIn():
            return coordinator.search(asker, body.kind, body.query, limit=body.limit)
        case DeleteIn():
            coordinator.delete(asker, body.kind, body.reference)
            return []
