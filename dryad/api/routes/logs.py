"""Logs: what happened, from the newest line back; a tenant's own lines only."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from dryad.api.auth import Access, Admin
from dryad.api.shapes import Outgoing
from dryad.foundation import logs
from dryad.foundation.logs import Filter
from dryad.foundation.logs.writer import Level

router = APIRouter(prefix="/logs", tags=["logs"])

Word = Annotated[str, StringConstraints(max_length=200)]


class Wanted(BaseModel):
    """Which lines; what is not given asks for nothing."""

    since: AwareDatetime | None = None
    until: AwareDatetime | None = Field(
        default=None, description="Exclusive: the oldest timestamp of a page gets the one before"
    )
    level: Level | None = Field(default=None, description="The least level")
    component: Word | None = None
    event: Word | None = None
    code: Word | None = None
    run: Word | None = None
    task: Word | None = None
    agent: Word | None = None
    trace: Word | None = None
    status: list[int] = Field(default=[], description="HTTP statuses")
    slower_ms: float | None = Field(default=None, ge=0, le=1e12)
    limit: int = Field(default=100, ge=1, le=1000)
    everywhere: bool = Field(
        default=False, description="Of every tenant and of none; needs an operator key"
    )

    def filter(self, access: Access) -> Filter:
        """Return what the library looks for."""
        if self.everywhere:
            access.caller.require("operator")
        same = self.model_dump(exclude={"status", "slower_ms", "everywhere"})
        return Filter(
            **same,
            tenant=None if self.everywhere else access.tenant,
            statuses=frozenset(self.status),
            slower=None if self.slower_ms is None else timedelta(milliseconds=self.slower_ms),
        )


class Lines(Outgoing):
    """What was found, newest first, on which machines' files."""

    entries: list[dict[str, Any]]
    hosts: list[str]
    complete: bool = Field(description="False: there may be older ones")


class Counts(Outgoing):
    """How many lines there are of each value, most frequent first."""

    values: dict[str, int]
    hosts: list[str]
    complete: bool


@router.get("")
def read(access: Admin, wanted: Annotated[Wanted, Query()]) -> Lines:
    """Read lines, newest first."""
    directory = access.edge.services.settings.logs_dir
    return Lines.model_validate(logs.read(directory, wanted.filter(access)))


@router.get("/by/{key}")
def count(key: str, access: Admin, wanted: Annotated[Wanted, Query()]) -> Counts:
    """Count the lines by the value of one of their keys, such as `code`, `event`, `status`."""
    directory = access.edge.services.settings.logs_dir
    return Counts.model_validate(logs.count_by(directory, wanted.filter(access), key))
