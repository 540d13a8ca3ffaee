"""Consultations: what people are asked, and their answers."""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Header, Path, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, ConfigDict, Field

from dryad.api.auth import Access, Reviewer, TaskReader
from dryad.api.shapes import ClaimIn, Incoming, JsonObject, Limit, Outgoing, Page, Prose, claim_of
from dryad.foundation.errors import DryadError
from dryad.foundation.ids import TenantId
from dryad.orchestration.review.reviewers import Proof
from dryad.orchestration.review.verdicts import Word

router = APIRouter(prefix="/consultations", tags=["consultations"])

_POLL, _SIGN_OF_LIFE = 1.0, 5.0
_FOLLOWED = 1000
"""Questions told of at once, the oldest; more follow as these are closed."""

_LEEWAY = timedelta(seconds=10)
"""A question may be written a moment after its time: what is so new is told twice, not missed."""

CaseId = Annotated[int, Path(ge=1, lt=2**63, description="Number of the question")]
LastEvent = Annotated[
    AwareDatetime | None, Header(description="The id of the last event that arrived")
]
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
    last_event_id: LastEvent = None,
) -> StreamingResponse:
    """Follow the inbox as server-sent events.

    `opened` carries a question, those already open first; `closed` carries the number of one that
    no longer waits. Who was cut off and sends the last id hears what came and went meanwhile, the
    last moments of before perhaps again. A comment is a sign of life.
    """
    if everywhere:
        access.caller.require("operator")
    return StreamingResponse(
        _follow(access, seconds, last_event_id, everywhere=everywhere),
        media_type="text/event-stream",
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
    found = access.edge.services.cases.open(_of(access, everywhere=everywhere), limit=limit)
    return [CaseOut.model_validate(case) for case in found]


def _of(access: Access, *, everywhere: bool) -> TenantId | None:
    if everywhere:
        access.caller.require("operator")
    return None if everywhere else access.tenant


async def _follow(
    access: Access, seconds: int, since: datetime | None, *, everywhere: bool
) -> AsyncGenerator[str]:
    """Yield what comes and goes; an id stands where everything before its time was told."""
    end, quiet_since = time.monotonic() + seconds, time.monotonic()
    known: set[int] | None = None if since else set()
    yield ": here\n\n"  # who follows an empty inbox knows that it does
    while time.monotonic() < end:
        looked = access.edge.services.clock()
        try:
            if known is None:
                known = await run_in_threadpool(_known, access, since, everywhere=everywhere)
            cases = await run_in_threadpool(_open, access, _FOLLOWED, everywhere=everywhere)
        except DryadError as error:
            yield f": {error.code}\n\n"  # a comment: the reader waits on, as we do
        else:
            new = [case for case in cases if case.id not in known or _is_new(case, since)]
            now, since = {case.id for case in cases}, None
            told = [_event("opened", case.model_dump_json()) for case in new]
            told += [_event("closed", str(gone)) for gone in sorted(known - now)]
            known = now
            if told or time.monotonic() - quiet_since > _SIGN_OF_LIFE:
                quiet_since = time.monotonic()
                yield _stamped(told, looked) if told else ": still here\n\n"
        await asyncio.sleep(_POLL)


def _known(access: Access, since: datetime | None, *, everywhere: bool) -> set[int]:
    """Return what waited when a reader was cut off."""
    assert since is not None
    tenant = _of(access, everywhere=everywhere)
    cases = access.edge.services.cases
    return cases.open_at(tenant, since, leeway=_LEEWAY, limit=_FOLLOWED)


def _is_new(case: CaseOut, since: datetime | None) -> bool:
    return since is not None and case.created > since - _LEEWAY


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n"


def _stamped(told: list[str], at: datetime) -> str:
    """Join events; the id stands on the last one, so who is cut off amid them hears all again."""
    return "\n".join([*told[:-1], f"id: {at.isoformat()}\n{told[-1]}", ""])
