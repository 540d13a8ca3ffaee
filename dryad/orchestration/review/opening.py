"""A question becomes a case: what it will take to answer it is settled when it is asked."""

from datetime import datetime, timedelta
from typing import Any

from dryad.foundation.approval_rules import Act
from dryad.foundation.database.models import CaseRow
from dryad.foundation.errors import Refused
from dryad.foundation.policies import PolicyDocument
from dryad.orchestration.review.approvals import question_digest
from dryad.orchestration.review.questions import Question


def needs(policy: PolicyDocument, question: Question) -> dict[str, Any]:
    """Return what the policy wants before it happens; what is asked needs one yes at least.

    Raises:
        Refused: it wants that the call does not happen.
    """
    call = question.call or {"tool": ""}
    act = Act(question.tier, question.acts, call["tool"], question.agent, question.requester)
    wanted = policy.judge(act)
    if wanted.need == "refuse" and question.call is not None:
        raise Refused(f"the policy does not allow it: {wanted.why}")
    return {
        "approvers": max(1, wanted.approvers),
        "role": wanted.role,
        "why": wanted.why,
        "raised": wanted.raised,
    }


def new_case(
    question: Question, needed: dict[str, Any], *, epoch: str, now: datetime, deadline: timedelta
) -> CaseRow:
    """Return the row of a question that is asked now."""
    return CaseRow(
        tenant=question.tenant,
        task=question.task,
        run=question.run,
        member=question.member,
        ordinal=question.ordinal,
        digest=question_digest(epoch, question),
        epoch=epoch,
        kind=question.kind,
        tier=question.tier,
        question={
            "title": question.title,
            "why": question.why,
            "action": question.action,
            "call": question.call,
            "plan": question.plan,
            "origin": question.origin,
            "limits": question.limits,
        },
        policy_version=question.policy_version,
        needs=needed,
        requester=question.requester,
        status="pending",
        round=0,
        judged=0,
        refusal="",
        created=now,
        due=now + deadline,
    )
