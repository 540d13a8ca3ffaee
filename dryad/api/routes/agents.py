"""Agents: who does the work."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from dryad.api.auth import Admin, TaskReader
from dryad.api.shapes import Incoming, Limit, Line, Name, Outgoing, Page, Prose, Ref
from dryad.execution.agents import AgentSpec, AgentStatus

router = APIRouter(prefix="/agents", tags=["agents"])

_EXAMPLE: JsonDict = {
    "id": "auditor",
    "name": "Auditor",
    "role": "reviewer",
    "goal": "Find what the figures hide",
    "instructions": "Read the documents, compute, cite.",
    "capabilities": {"research": 0.8, "analysis": 0.9},
}


class AgentIn(Incoming):
    """A new agent."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: Name
    name: Line
    role: Name
    goal: Prose = ""
    instructions: Prose = ""
    capabilities: dict[Name, Annotated[float, Field(ge=0, le=1)]]
    model: dict[Name, Line] = Field(default={})


class Standing(Incoming):
    """Whether it may be chosen."""

    status: AgentStatus


class AgentChange(Incoming):
    """What may change of an agent; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"goal": "Find what the figures hide", "status": "active"}]}
    )

    goal: Prose | None = None
    capabilities: dict[Name, Annotated[float, Field(ge=0, le=1)]] | None = None
    status: AgentStatus | None = None


class AgentOut(Outgoing):
    """An agent and how it did."""

    id: str
    name: str
    role: str
    goal: str
    instructions: str
    capabilities: dict[str, float]
    model: dict[str, str]
    status: AgentStatus
    health: str
    reliability: float
    runs: int
    successes: int
    tokens: int
    cost_usd: float
    seconds: float
    mean_cost_usd: float
    mean_seconds: float
    created: datetime | None


@router.get("")
def list_agents(access: TaskReader) -> Page[AgentOut]:
    """List the tenant's agents."""
    found = access.edge.services.agents.list(access.tenant)
    return Page[AgentOut](items=[AgentOut.model_validate(agent) for agent in found])


@router.get("/discovery")
def discover(
    access: TaskReader,
    capability: Annotated[list[Name], Query(max_length=20, description="Each is required")],
    optional: Annotated[list[Name] | None, Query(max_length=20)] = None,
    limit: Limit = 20,
) -> Page[AgentOut]:
    """Find the active agents that can do all of it, best first.

    By proficiency, measured success, what a task costs with them, and what they have under way.
    """
    services = access.edge.services
    found = services.agents.discover(
        access.tenant,
        capability,
        optional=optional or (),
        load=services.decisions.at_work(access.tenant),
        limit=limit,
    )
    return Page[AgentOut](items=[AgentOut.model_validate(agent) for agent in found])


@router.get("/{agent_id}")
def show(agent_id: Ref, access: TaskReader) -> AgentOut:
    """Show one agent."""
    return AgentOut.model_validate(access.edge.services.agents.get(access.tenant, agent_id))


@router.post("", status_code=201)
def register(body: AgentIn, access: Admin) -> AgentOut:
    """Add an agent; it may call nothing until tools are granted to it."""
    spec = AgentSpec(**body.model_dump())
    return AgentOut.model_validate(access.edge.services.agents.register(access.tenant, spec))


@router.patch("/{agent_id}")
def change(agent_id: Ref, body: AgentChange, access: Admin) -> AgentOut:
    """Change goal, capabilities or status; the rest is what the agent is, and never changes."""
    changes = body.model_dump(exclude_none=True)
    agent = access.edge.services.agents.change(access.tenant, agent_id, **changes, by=access.actor)
    return AgentOut.model_validate(agent)


@router.put("/{agent_id}/status")
def set_status(agent_id: Ref, body: Standing, access: Admin) -> AgentOut:
    """Let an agent be chosen, or not."""
    agents = access.edge.services.agents
    agent = agents.set_status(access.tenant, agent_id, body.status, by=access.actor)
    return AgentOut.model_validate(agent)
