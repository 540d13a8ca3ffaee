"""Shapes that several resources share."""

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from dryad.api.auth import Access
from dryad.orchestration.requests import screen_characters, screen_object
from dryad.orchestration.review.reviewers import Claim

T = TypeVar("T")

JSON_BYTES, JSON_DEPTH = 200_000, 20


def plain_text(value: str) -> str:
    """Refuse what is no text: NUL, lone surrogates, controls of binaries."""
    screen_characters(value, "the text")
    return value


def _object(value: dict[str, Any]) -> dict[str, Any]:
    screen_object(value, "the object", most_bytes=JSON_BYTES, most_depth=JSON_DEPTH)
    return value


def _large(value: dict[str, Any]) -> dict[str, Any]:
    screen_object(value, "the document", most_bytes=4_000_000, most_depth=60)
    return value


Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(plain_text)]
Prose = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(plain_text)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_object)]
LargeObject = Annotated[dict[str, Any], AfterValidator(_large)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$")]

Ref = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
"""An id in an address."""

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many")]


class Incoming(BaseModel):
    """A body: a field nobody knows is an error, not a surprise."""

    model_config = ConfigDict(extra="forbid")


class Outgoing(BaseModel):
    """A result, read from the library's dataclass of the same fields."""

    model_config = ConfigDict(from_attributes=True)


class Page(BaseModel, Generic[T]):
    """Part of a list."""

    items: list[T]
    next: str | None = Field(default=None, description="Cursor of the next page; null at the end")


class ClaimIn(Incoming):
    """Who a reviewer is; in single-user mode nobody is asked."""

    approver: str = Field(default="", max_length=64, description="Your id as a reviewer")
    code: str = Field(
        default="", max_length=64, description="A new one-time code, or this answer's decision code"
    )


def claim_of(body: ClaimIn, access: Access) -> Claim:
    """Return who says to be calling."""
    return Claim(body.approver.strip(), body.code.strip(), access.actor)
