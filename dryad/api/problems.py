"""Errors as the world sees them: RFC 9457 problem documents, one shape for all."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from dryad.foundation.errors import DryadError, InvalidRequest, LimitExceeded, NotFound

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, for a program (`code`) and for a person (`detail`, `next_step`)."""

    type: str = Field(examples=["urn:dryad:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(description="Stable name of the error", examples=["not_found"])
    detail: str = Field(description="What is wrong", examples=["there is no task 'task_0'"])
    next_step: str = Field(description="What to do about it", examples=["Run `dryad tasks list`."])
    request_id: str = Field(description="Names the request in the access log")


RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": HTTPStatus(code).phrase, "content": {MEDIA_TYPE: {}}}
    for code in (400, 401, 403, 404, 409, 413, 429, 500, 503)
}
"""What every protected route may answer beside its result."""


def answer(
    status: int,
    error: DryadError,
    *,
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Render one error."""
    body = {
        "type": f"urn:dryad:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": error.message,
        "next_step": error.next_step,
        "request_id": request_id,
    }
    # ASCII: the detail may quote what no encoding can carry.
    content = json.dumps(body).encode("ascii")
    return Response(content, status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""

    @app.exception_handler(DryadError)
    async def on_purpose(request: Request, error: DryadError) -> Response:  # pyright: ignore[reportUnusedFunction]
        headers = {"WWW-Authenticate": "Bearer"} if error.http_status == 401 else None
        if error.http_status == 503:
            headers = {"Retry-After": "5"}
        return answer(
            error.http_status, error, request_id=request.state.exchange.id, headers=headers
        )

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:  # pyright: ignore[reportUnusedFunction]
        explained = InvalidRequest(_explain(error.errors()), "Read the OpenAPI page at /docs.")
        return answer(400, explained, request_id=request.state.exchange.id)

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction]
        return answer(
            error.status_code,
            _translated(error, request),
            request_id=request.state.exchange.id,
            headers=error.headers,
        )


def too_large(most: int) -> LimitExceeded:
    """Explain that a body is larger than the API reads."""
    return LimitExceeded(
        f"the body is larger than {most:,} bytes",
        "Ingest long material in pieces, or raise DRYAD_MAX_BODY_BYTES.",
    )


def _translated(error: HTTPException, request: Request) -> DryadError:
    if isinstance(error.__cause__, DryadError):
        return error.__cause__
    if error.status_code == 404:
        return NotFound(f"there is nothing at {request.url.path[:200]}", "Read /docs.")
    if error.status_code == 405:
        return InvalidRequest(f"{request.method} is not done to {request.url.path[:200]}")
    return InvalidRequest(str(error.detail))


def _explain(problems: Sequence[Any]) -> str:
    """Say where and what, never what was sent: it may be a secret."""
    parts: list[str] = []
    for problem in problems[:5]:
        place = ".".join(str(step)[:80] for step in problem["loc"][1:]) or str(problem["loc"][0])
        parts.append(f"{place}: {problem['msg']}")
    return "; ".join(parts)
