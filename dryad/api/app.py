"""The application: every route, behind one layer of traffic, with one shape of error."""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from dryad.api import problems
from dryad.api.edge import Edge
from dryad.api.routes import (
    agents,
    audit,
    backups,
    budgets,
    consultations,
    decisions,
    health,
    keys,
    logs,
    memory,
    memory_policy,
    mirrors,
    notes,
    policies,
    requests,
    reviewers,
    stops,
    tasks,
    tenants,
    tool_calls,
    tools,
    values,
)
from dryad.api.traffic import Traffic
from dryad.bootstrap import Services
from dryad.runs import Runs

VERSION = "v1"
_ABOUT = "Ask for work, answer questions, look at everything. Errors are RFC 9457 problems."
_RESOURCES = (
    tasks,
    decisions,
    consultations,
    agents,
    tool_calls,
    tools,
    memory,
    memory_policy,
    requests,
    values,
    mirrors,
    notes,
    policies,
    budgets,
    backups,
    reviewers,
    stops,
    tenants,
    keys,
    audit,
    logs,
)


def create_app(services: Services, runs: Runs) -> FastAPI:
    """Build the application on an open installation."""
    app = FastAPI(title="DRYAD", version=VERSION, description=_ABOUT)
    app.state.edge = edge = Edge(services, runs)
    app.include_router(health.router)
    api = APIRouter(prefix="/api/v1", responses=problems.RESPONSES)
    for resource in _RESOURCES:
        api.include_router(resource.router)
    app.include_router(api)
    problems.install(app)
    app.add_middleware(Traffic, meter=edge.meter, max_body_bytes=services.settings.max_body_bytes)
    app.openapi = lambda: _described(app)  # pyright: ignore[reportAttributeAccessIssue]
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """Describe the API once; a malformed request is answered 400 here, not FastAPI's 422."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        app.openapi_schema = schema
    return app.openapi_schema
