"""What a tenant's agents may do with memory, how documents stand to each other, forgetting."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints

from dryad.api.auth import Admin, Rememberer
from dryad.api.shapes import Incoming, LargeObject, Line, Outgoing, Page, Ref
from dryad.execution.memory_policy import MemoryPolicy
from dryad.memory.relations import Relation, RelationKind

router = APIRouter(prefix="/memory", tags=["memory"])


class PolicySetOut(Outgoing):
    """Which version is in force now."""

    version: int


class RelationIn(Incoming):
    """How the document of the address stands to another."""

    target: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    kind: RelationKind
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0


class RelationOut(Outgoing):
    """`source` stands so to `target`."""

    source: str
    target: str
    kind: RelationKind
    confidence: float


class ErasureIn(Incoming):
    """Whom or what to forget."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"subject": "Ada Lovelace", "reason": "She asked."}]}
    )

    subject: Line
    reason: Line
    dry_run: bool = Field(default=False, description="Only tell what would be erased")


class ErasedOut(Outgoing):
    """What was erased, and what still holds it."""

    documents: list[str]
    passages: int
    values: list[str]
    tasks: int = Field(description="Tasks whose request, result or questions name it: they stay")
    mirrors: list[str] = Field(description="Copies that lose it when they can be reached again")
    backups: list[str] = Field(description="What was made before and holds it, and how long")
    dry: bool


@router.get("/policy")
def show_policy(access: Rememberer) -> MemoryPolicy:
    """Show the policy for memory in force; the empty one lets agents use their own memory alone."""
    return access.edge.services.memory_policies.current(access.tenant)


@router.put("/policy")
def set_policy(body: LargeObject, access: Admin) -> PolicySetOut:
    """Put another policy for memory in force; every version is kept and audited."""
    document: dict[str, Any] = body
    policies = access.edge.services.memory_policies
    return PolicySetOut(version=policies.set(access.tenant, document, by=access.actor))


@router.get("/documents/{document_id}/relations")
def list_relations(document_id: Ref, access: Rememberer) -> Page[RelationOut]:
    """List how a document stands to others, and others to it."""
    found = access.edge.services.relations.of(access.tenant, document_id)
    return Page[RelationOut](items=[RelationOut.model_validate(one) for one in found])


@router.post("/documents/{document_id}/relations", status_code=201)
def relate(document_id: Ref, body: RelationIn, access: Rememberer) -> RelationOut:
    """Keep how a document stands to another; said again, the newest confidence counts."""
    relation = Relation(document_id, body.target, body.kind, body.confidence)
    access.edge.services.relations.relate(access.tenant, relation)
    return RelationOut.model_validate(relation)


@router.post("/erasures")
def forget_subject(body: ErasureIn, access: Admin) -> ErasedOut:
    """Erase whatever memory names a subject, in the ledger, its mirrors and what was derived."""
    erased = access.edge.services.erasure.forget(
        access.tenant, body.subject, by=access.actor, reason=body.reason, dry=body.dry_run
    )
    return ErasedOut.model_validate(erased)
