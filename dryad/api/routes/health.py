"""Is it alive, is it ready, how is it: for load balancers, people and Prometheus. No key needed."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from dryad.api.edge import Edge

router = APIRouter(tags=["health"])

Status = Literal["healthy", "degraded", "unhealthy"]


class Alive(BaseModel):
    """The process serves."""

    status: Literal["healthy"] = "healthy"


class Ready(BaseModel):
    """Whether tasks can be taken; '' where nothing is wrong."""

    ready: bool
    database: str
    prefect: str


class Components(BaseModel):
    """The runbook's four."""

    database: Status
    redis: Status
    chromadb: Status
    llm: Status


class Metrics(BaseModel):
    """Since this process started."""

    uptime_seconds: int
    requests_total: int
    errors_total: int


class Detail(BaseModel):
    """One measurement."""

    status: Status
    reason: str
    latency_ms: float
    age_seconds: float | None


class HealthStatus(BaseModel):
    """How the installation is."""

    status: Status
    timestamp: str
    components: Components
    metrics: Metrics
    details: dict[str, Detail]


# Async on purpose: they answer although every thread is busy.
@router.get("/health")
async def health() -> Alive:
    """Answer as long as the process serves."""
    return Alive()


@router.get("/health/live")
async def live() -> Alive:
    """Answer as long as the process serves."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Ready, "description": "Not ready"}})
def ready(request: Request, response: Response) -> Ready:
    """Answer 503 while the database or Prefect is down, and for nothing else."""
    edge: Edge = request.app.state.edge
    database, prefect = edge.database_fault(), edge.prefect_fault()
    if database or prefect:
        response.status_code = 503
    return Ready(ready=not (database or prefect), database=database, prefect=prefect)


@router.get("/api/v1/health/status")
def status(request: Request) -> HealthStatus:
    """Say how each component is, and why."""
    edge: Edge = request.app.state.edge
    report = edge.health.report()
    return HealthStatus.model_validate(
        report.document(requests=edge.meter.requests_total, errors=edge.meter.errors_total)
    )


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Show the counters in Prometheus's text format; no tenant is named."""
    edge: Edge = request.app.state.edge
    return Response(edge.meter.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
