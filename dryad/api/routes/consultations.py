"""Consultations: what people are asked, and their answers."""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Path, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from dryad.api.auth import Access, Reviewer, TaskReader
from dryad.api.shapes import ClaimIn, Incoming, JsonObject, Limit, Outgoing, Page, Prose, claim_of
from dryad.foundation.errors import DryadError
from dryad.orchestration.review.reviewers import Proof
from dryad.orchestration.review.verdicts import Word

router = APIRouter(prefix="/consultations", tags=["consultations"])

_POLL, _SIGN_OF_LIFE = 1.0, 15.0

CaseId = Annotated[int, Path(ge=1, lt=2**63, description="Number of the question")]
Everywhere = Annotated[bool, Query(description="Of every tenant; needs an operator key")]


class VerdictOut(Outgoing):
    """What a person, or the deadline, said."""

    decision: Word
    reason: str
    by: str
    via: str
    at: str
    reply: str
    edited_arguments: dict[str, Any] | None
    verified: bool = Field(description="Whether it is known that it was them")


class MessageIn(Incoming):
    """A message about a question."""

    text: Prose


class MessageOut(Outgoing):
    """A message about a question; it is in its brief, and reaches the agent with the answer."""

    sequence: int
    sender: str
    text: str
    at: datetime


class VoteOut(Outgoing):
    """What one reviewer said so far."""

    approver: str
    decision: Word
    reason: str
    at: datetime


class CaseOut(Outgoing):
    """A question; `brief` is the markdown page to decide from."""

    id: int
    tenant: str
    task: str
    run: str
    kind: str
    tier: str
    status: str
    title: str
    brief: str
    words: list[Word] = Field(description="The decisions it takes")
    requester: str
    created: datetime
    due: datetime
    proof: Proof = Field(description="What an answer in the form is signed with")
    needs: dict[str, Any] = Field(description="What the policy wants: approvers, role, why")
    votes: list[VoteOut] = Field(description="What reviewers said so far")
    verdict: VerdictOut | None
    plan: list[dict[str, Any]] | None = Field(
        description="The steps it is about, as they stand now; editable as a whole"
    )


class AnswerIn(ClaimIn):
    """A decision with its reason, and who gives it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"decision": "reject", "reason": "Not this quarter."}]}
    )

    decision: Word
    reason: Prose = Field(description="In a few words; it is kept")
    reply: Prose = ""
    edited_arguments: JsonObject | None = Field(
        default=None,
        description='With `edit`: the whole new arguments, or the whole plan as {"steps": […]}',
    )


class CodesOut(Outgoing):
    """By which codes one reviewer may answer a question in its form, exactly as it stands now."""

    case: int
    approver: str
    codes: dict[Word, str]


@router.get("")
def list_open(
    access: Reviewer, limit: Limit = 100, *, everywhere: Everywhere = False
) -> Page[CaseOut]:
    """List what waits for an answer, oldest first."""
    return Page[CaseOut](items=_open(access, limit, everywhere=everywhere))


@router.get("/events", response_class=StreamingResponse)
async def events(
    access: Reviewer,
    seconds: Annotated[int, Query(ge=1, le=86_400, description="Ends after so long")] = 3600,
    *,
    everywhere: Everywhere = False,
) -> StreamingResponse:
    """Follow the inbox as server-sent events.

    `opened` carries a question, those already open first; `closed` carries the number of one that
    no longer waits.
    """
    if everywhere:
        access.caller.require("operator")
    return StreamingResponse(
        _follow(access, seconds, everywhere=everywhere), media_type="text/event-stream"
    )


@router.get("/{case_id}")
def show(case_id: CaseId, access: Reviewer) -> CaseOut:
    """Show one question, open or closed."""
    return CaseOut.model_validate(access.edge.services.cases.get(access.tenant, case_id))


@router.post("/{case_id}/answer")
def answer(case_id: CaseId, body: AnswerIn, access: Reviewer, later: BackgroundTasks) -> CaseOut:
    """Answer; one that does not count leaves the question open, a second approver may be needed."""
    case = access.edge.services.cases.answer(
        access.tenant,
        case_id,
        decision=body.decision,
        reason=body.reason,
        reply=body.reply,
        edited_arguments=body.edited_arguments,
        by=claim_of(body, access),
    )
    if case.verdict is not None:
        later.add_task(access.edge.wake, case)
    return CaseOut.model_validate(case)


@router.get("/{case_id}/messages")
def messages(case_id: CaseId, access: Reviewer) -> Page[MessageOut]:
    """List what was said about a question."""
    access.edge.services.cases.get(access.tenant, case_id)
    found = access.edge.services.talk.of(case_id)
    return Page[MessageOut](items=[MessageOut.model_validate(one) for one in found])


@router.post("/{case_id}/messages", status_code=201)
def say(case_id: CaseId, body: MessageIn, access: TaskReader) -> MessageOut:
    """Say something about an open question; it allows nothing. Reviewers and who asked may."""
    case = access.edge.services.cases.get(access.tenant, case_id)
    if case.requester != access.actor:
        access.caller.require("review")
    made = access.edge.services.talk.say(access.tenant, case_id, body.text, by=access.actor)
    return MessageOut.model_validate(made)


@router.post("/{case_id}/codes")
def codes(case_id: CaseId, body: ClaimIn, access: Reviewer) -> CodesOut:
    """Return the decision codes of a question for its form; a one-time code proves who asks."""
    found = access.edge.services.cases.codes(access.tenant, case_id, claim_of(body, access))
    return CodesOut(case=case_id, approver=body.approver, codes=found)


def _open(access: Access, limit: int, *, everywhere: bool) -> list[CaseOut]:
    if everywhere:
        access.caller.require("operator")
    tenant = None if everywhere else access.tenant
    found = access.edge.services.cases.open(tenant, limit=limit)
    return [CaseOut.model_validate(case) for case in found]


async def _follow(access: Access, seconds: int, *, everywhere: bool) -> AsyncGenerator[str]:
    known: set[int] = set()
    end, quiet_since = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < end:
        try:
            cases = await run_in_threadpool(_open, access, 1000, everywhere=everywhere)
        except DryadError as error:
            yield f": {error.code}\n\n"  # a comment: the reader waits on, as we do
            cases = None
        if cases is not None:
            now = {case.id for case in cases}
            lines = [
                _event("opened", case.id, case.model_dump_json())
                for case in cases
                if case.id not in known
            ]
            lines += [_event("closed", gone, str(gone)) for gone in sorted(known - now)]
            known = now
            if lines or time.monotonic() - quiet_since > _SIGN_OF_LIFE:
                quiet_since = time.monotonic()
                yield "".join(lines) or ": still here\n\n"
        await asyncio.sleep(_POLL)


def _event(name: str, number: int, data: str) -> str:
    return f"event: {name}\nid: {number}\ndata: {data}\n\n"
