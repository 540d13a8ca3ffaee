"""Tools: what agents may call, at which risk, and who was granted what."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, ConfigDict, Field
from pydantic.config import JsonDict

from dryad.api.auth import Admin, TaskReader
from dryad.api.shapes import Incoming, JsonObject, Line, Name, Outgoing, Page, Prose, Ref
from dryad.foundation.tool_rules import Kind, PrincipalType, Status, Tier
from dryad.foundation.tools import ToolSpec

router = APIRouter(prefix="/tools", tags=["tools"])

_EXAMPLE: JsonDict = {
    "name": "word-count",
    "version": "1.0.0",
    "description": "Count the words of a text",
    "tier": "read",
    "kind": "script",
    "input_schema": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
    "config": {
        "code": "import json\n"
        "text = json.load(open('arguments.json'))['text']\n"
        "print(json.dumps({'words': len(text.split())}))\n"
    },
}


class ToolIn(Incoming):
    """A new version of a tool; name, version and schemas never change."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    version: Line
    description: Prose
    tier: Tier
    kind: Kind = "script"
    idempotent: bool = False
    input_schema: JsonObject = Field(default={"type": "object"})
    output_schema: JsonObject = Field(default={"type": "object"})
    config: JsonObject = Field(
        default={}, description="Set by the administrator, never shown to a model"
    )


class ToolOut(Outgoing):
    """One version of a tool, without its configuration."""

    name: str
    version: str
    description: str
    tier: Tier
    kind: Kind
    idempotent: bool
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    status: Status


class Standing(Incoming):
    """Whether a version may be called."""

    status: Status


class Configuration(Incoming):
    """What a version works with; see `ToolIn.config`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"config": {"url": "https://example.org/letters"}}]}
    )

    config: JsonObject = Field(description="The whole of it; never shown again")


class GrantIn(Incoming):
    """Leave to call a tool."""

    principal: Name
    principal_type: PrincipalType = "agent"
    conditions: JsonObject = Field(default={})
    expires: AwareDatetime | None = None


class GrantOut(Outgoing):
    """A grant in force or expired."""

    tool: str
    principal: str
    principal_type: PrincipalType
    conditions: dict[str, Any]
    created_by: str
    created: datetime
    expires: datetime | None


@router.get("")
def list_tools(access: TaskReader, *, active_only: bool = False) -> Page[ToolOut]:
    """List the tenant's tools, every version."""
    found = access.edge.services.tools.list(access.tenant, active_only=active_only)
    return Page[ToolOut](items=[ToolOut.model_validate(spec) for spec in found])


@router.get("/grants")
def list_grants(
    access: TaskReader, principal: Annotated[str | None, Query(max_length=64)] = None
) -> Page[GrantOut]:
    """List who was granted what."""
    found = access.edge.services.tools.grants(access.tenant, principal=principal)
    return Page[GrantOut](items=[GrantOut.model_validate(grant) for grant in found])


@router.get("/{name}")
def show(
    name: Ref, access: TaskReader, version: Annotated[str | None, Query(max_length=32)] = None
) -> ToolOut:
    """Show one version; without `version` the newest active one."""
    return ToolOut.model_validate(access.edge.services.tools.get(access.tenant, name, version))


@router.post("", status_code=201)
def register(body: ToolIn, access: Admin) -> ToolOut:
    """Add a version of a tool; nobody may call it until it is granted."""
    spec = ToolSpec(**body.model_dump())
    made = access.edge.services.tools.register(access.tenant, spec, by=access.actor)
    return ToolOut.model_validate(made)


@router.put("/{name}/{version}/status")
def set_status(name: Ref, version: Ref, body: Standing, access: Admin) -> ToolOut:
    """Let a version be called, or not."""
    changed = access.edge.services.tools.set_status(
        access.tenant, name, version, body.status, by=access.actor
    )
    return ToolOut.model_validate(changed)


@router.put("/{name}/{version}/config")
def configure(name: Ref, version: Ref, body: Configuration, access: Admin) -> ToolOut:
    """Replace what the administrator sets for a version, such as the address it sends to."""
    changed = access.edge.services.tools.configure(
        access.tenant, name, version, body.config, by=access.actor
    )
    return ToolOut.model_validate(changed)


@router.post("/{name}/grants", status_code=201)
def grant(name: Ref, body: GrantIn, access: Admin) -> GrantOut:
    """Let an agent or a role call the tool; a grant that is there is replaced."""
    made = access.edge.services.tools.grant(
        access.tenant,
        body.principal,
        name,
        principal_type=body.principal_type,
        conditions=body.conditions,
        expires=body.expires,
        by=access.actor,
    )
    return GrantOut.model_validate(made)


@router.delete("/{name}/grants/{principal}", status_code=204)
def revoke(
    name: Ref, principal: Ref, access: Admin, principal_type: PrincipalType = "agent"
) -> None:
    """Take a grant back; the next call is refused."""
    access.edge.services.tools.revoke(
        access.tenant, principal, name, principal_type=principal_type, by=access.actor
    )
