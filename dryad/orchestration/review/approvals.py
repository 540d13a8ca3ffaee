"""What a yes is good for: exactly one call, exactly as it was shown, once, and not for ever."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dryad.execution.steps import Approval, Lapsed
from dryad.foundation.canonical import canonical_json, digest
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import CaseRow
from dryad.foundation.errors import Refused
from dryad.orchestration.review.plans import edits_plan
from dryad.orchestration.review.questions import Question


def question_digest(epoch: str, question: Question) -> str:
    """Return the digest of a question: what would happen, where, for whom, by which policy."""
    return digest(
        [
            epoch,
            question.tenant,
            question.task,
            question.member,
            question.action,
            question.call,
            question.policy_version,
            question.plan,
            question.asked,
        ]
    )


def proposal_digest(row: CaseRow) -> str:
    """Return the digest of what a case would let happen now, with the arguments as edited."""
    return row.digest if row.edited is None else digest([row.digest, row.edited])


def proposed_call(row: CaseRow) -> dict[str, Any] | None:
    """Return the call a case is about, with the arguments as edited; None for another plan."""
    call = row.question.get("call")
    if call is None or row.edited is None:
        return call
    if edits_plan(row.question, row.edited):
        return None
    return {**call, "arguments": row.edited}


class Approvals:
    """Seal what people allowed, and let each of it be used once."""

    def __init__(
        self, database: Database, *, secret: bytes, epoch: str, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._secret = secret
        self._epoch = epoch
        self._clock = clock

    def seal(self, row: CaseRow) -> str | None:
        """Return the seal of what a case that was just allowed is good for, None for no call.

        Who can only write rows cannot make one: it is keyed with the review secret.
        """
        call = proposed_call(row)
        if call is None or row.valid_until is None:
            return None
        return self._seal(row, call, policy_version=row.policy_version)

    def standing(self, question: Question) -> int | None:
        """Return the case in which this run was allowed the same call before and has not made it.

        A plan is approved with the one message it would send, so nobody is asked twice about it.
        """
        if question.call is None or question.kind != "approval" or question.asked:
            return None
        asked = canonical_json(question.call)
        with self._database.reading() as session:
            rows = session.scalars(
                select(CaseRow).where(
                    CaseRow.task == question.task,
                    CaseRow.run == question.run,
                    CaseRow.policy_version == question.policy_version,
                    CaseRow.used_by.is_(None),
                    CaseRow.seal.is_not(None),
                    CaseRow.valid_until > self._clock(),
                )
            )
            # An edited call is not what would be asked about, so the original has to agree.
            return next(
                (row.id for row in rows if canonical_json(row.question["call"]) == asked), None
            )

    def spend(self, session: Session, approval: Approval) -> None:
        """Use an approval, inside the transaction that records the intent of its call.

        The same step may come again after a crash; no other ever can.

        Raises:
            Refused: it was not approved, is used, or was given for another call.
            Lapsed: it is too old, or another policy is in force: a person has to be asked again.
        """
        row = session.get(CaseRow, approval.case, with_for_update=True)
        if row is None or row.epoch != self._epoch or row.run != approval.run:
            raise Refused(f"question #{approval.case} does not approve this call")
        call = {
            "tool": approval.tool,
            "version": approval.version,
            "arguments": dict(approval.arguments),
        }
        sealed = row.seal or ""
        mine = self._seal(row, call, policy_version=row.policy_version)
        if not hmac.compare_digest(sealed, mine):
            raise Refused(f"question #{approval.case} does not approve this call")
        if row.used_by not in {None, approval.step}:
            raise Refused(f"the approval of question #{approval.case} was used before")
        if row.used_by is None:
            self._refuse_lapsed(row, approval)
        row.used_by = approval.step

    def _refuse_lapsed(self, row: CaseRow, approval: Approval) -> None:
        if row.policy_version != approval.policy_version:
            raise Lapsed(f"question #{row.id} was answered under policy {row.policy_version}")
        if row.valid_until is None or row.valid_until <= self._clock():
            raise Lapsed(f"the approval of question #{row.id} was not used in time")

    def _seal(self, row: CaseRow, call: Mapping[str, Any], *, policy_version: int) -> str:
        bound = [
            row.epoch,
            row.tenant,
            row.task,
            row.run,
            row.id,
            call,
            policy_version,
            _second(row.valid_until),
        ]
        return hmac.new(self._secret, canonical_json(bound), hashlib.sha256).hexdigest()


def _second(at: datetime | None) -> int:
    """Return a time as both databases keep it."""
    return 0 if at is None else int(at.timestamp())
