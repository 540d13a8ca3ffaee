"""Tools: what agents may call, at which risk, and who was granted what."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, ConfigDict, Field
from pydantic.config import JsonDict

from dryad.api.auth import Admin, TaskReader
from dryad.api.shapes import (
    Incoming,
    JsonObject,
    LargeObject,
    Limit,
    Line,
    Name,
    Outgoing,
    Page,
    Prose,
    Ref,
)
from dryad.execution.interface import interface
from dryad.execution.openapi import Wanted, read_operations
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.tool_rules import Category, Kind, PrincipalType, Status, Tier
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


_DOCUMENT: JsonDict = {
    "document": {
        "openapi": "3.0.3",
        "info": {"title": "Weather", "version": "1.0"},
        "servers": [{"url": "https://weather.example.org"}],
        "paths": {
            "/now/{city}": {
                "get": {
                    "operationId": "weatherNow",
                    "parameters": [
                        {
                            "name": "city",
                            "in": "path",
                            "required": True,
                            "schema": {"type": "string"},
                        }
                    ],
                    "responses": {"200": {"description": "The weather"}},
                }
            }
        },
    }
}


class ToolIn(Incoming):
    """A new version of a tool; name, version and schemas never change."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    version: Line
    description: Prose
    tier: Tier
    kind: Kind = "script"
    category: Category | None = Field(default=None, description="Default: the usual of its kind")
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
    category: Category
    idempotent: bool
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    status: Status


class ToolPage(Page[ToolOut]):
    """Part of the registry."""

    total: int = Field(description="How many there are, all pages together")


class OpenApiIn(Incoming):
    """An OpenAPI 3 document whose operations become tools."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DOCUMENT]})

    document: LargeObject
    base: str = Field(default="", max_length=500, description="Default: the document's server")
    only: list[Name] = Field(default=[], description="Operations meant; empty: all")
    tiers: dict[Name, Tier] = Field(
        default={}, description="Risk by operation; default `read` for GET, else `external`"
    )
    headers: dict[Line, Line] = Field(default={}, description="Sent with each call; never shown")
    hosts: list[Line] = Field(default=[], description="Hosts it may reach; default its own")
    private_hosts: list[Line] = Field(
        default=[], description="Hosts that may have addresses of a private network"
    )


class ImportOut(Outgoing):
    """What became of a document."""

    tools: list[ToolOut]
    left_out: dict[str, str] = Field(description="Operations that could not be tools, and why")


class ServerIn(Incoming):
    """An MCP server of this installation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"server": "shop"}]})

    server: Name


class Classification(Incoming):
    """How risky a discovered version is, says a person who read it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tier": "read"}]})

    tier: Tier


class Standing(Incoming):
    """Whether a version may be called."""

    status: Status


class ToolChange(Incoming):
    """What may change of a version; what is left out stays. Name, version, schemas never do."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"description": "Count words", "category": "analysis"}]}
    )

    description: Prose | None = None
    category: Category | None = None
    status: Status | None = None


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
def list_tools(
    access: TaskReader,
    *,
    active_only: bool = False,
    category: Category | None = None,
    limit: Limit = 1000,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> ToolPage:
    """List the tenant's tools, every version, by name, the newest version first."""
    found = access.edge.services.tools.list(
        access.tenant, active_only=active_only, category=category
    )
    page, end = found[offset : offset + limit], offset + limit
    return ToolPage(
        items=[ToolOut.model_validate(spec) for spec in page],
        next=str(end) if end < len(found) else None,
        total=len(found),
    )


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
    if body.kind == "mcp":
        raise InvalidRequest(
            "a tool of an MCP server is not registered but discovered",
            "Send the server's name to POST /api/v1/tools/discover.",
        )
    spec = ToolSpec(**body.model_dump())
    made = access.edge.services.tools.register(access.tenant, spec, by=access.actor)
    return ToolOut.model_validate(made)


@router.post("/import", status_code=201)
def import_document(body: OpenApiIn, access: Admin) -> ImportOut:
    """Make each operation of an OpenAPI document a tool; nobody may call it until it is granted."""
    wanted = Wanted(**{name: value for name, value in body if name != "document"})
    found = read_operations(body.document, wanted)
    made = access.edge.services.tools.register_all(access.tenant, found.tools, by=access.actor)
    return ImportOut.model_validate({"tools": made, "left_out": found.left_out})


@router.post("/discover")
def discover(body: ServerIn, access: Admin) -> Page[ToolOut]:
    """Look what an MCP server has; what is new or changed may not be called until it has a tier."""
    services = access.edge.services
    found = asyncio.run(services.toolbox.discover(access.tenant, body.server))
    services.tools.discovered(access.tenant, found, by=access.actor)
    meant = {(spec.name, spec.version) for spec in found}
    known = services.tools.list(access.tenant)
    return Page[ToolOut](
        items=[ToolOut.model_validate(spec) for spec in known if (spec.name, spec.version) in meant]
    )


@router.get("/{name}/{version}")
def show_version(name: Ref, version: Ref, access: TaskReader) -> ToolOut:
    """Show one version."""
    return ToolOut.model_validate(access.edge.services.tools.get(access.tenant, name, version))


@router.put("/{name}/{version}")
def change(name: Ref, version: Ref, body: ToolChange, access: Admin) -> ToolOut:
    """Change what a version is said to be for, or whether it may be called."""
    tools = access.edge.services.tools
    if body.status is not None:
        tools.set_status(access.tenant, name, version, body.status, by=access.actor)
    changed = tools.describe(
        access.tenant, name, version,
        description=body.description, category=body.category, by=access.actor,
    )  # fmt: skip
    return ToolOut.model_validate(changed)


@router.delete("/{name}/{version}", status_code=204)
def delete(name: Ref, version: Ref, access: Admin) -> None:
    """Remove a version; its name and version are never given again."""
    access.edge.services.tools.delete(access.tenant, name, version, by=access.actor)


@router.get("/{name}/{version}/interface")
def show_interface(name: Ref, version: Ref, access: TaskReader) -> dict[str, Any]:
    """Describe a version as an OpenAPI 3 document."""
    return interface(access.edge.services.tools.get(access.tenant, name, version))


@router.put("/{name}/{version}/tier")
def classify(name: Ref, version: Ref, body: Classification, access: Admin) -> ToolOut:
    """Say how risky a discovered version is; from now on it may be granted and called."""
    changed = access.edge.services.tools.classify(
        access.tenant, name, version, body.tier, by=access.actor
    )
    return ToolOut.model_validate(changed)


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
