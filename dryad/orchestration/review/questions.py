"""A question to a person and the case it becomes: what they hold, no behaviour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from dryad.foundation.approval_rules import PLAN
from dryad.foundation.database.models import CaseRow, VoteRow
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.foundation.tool_rules import Tier, at_least
from dryad.orchestration.plan import Plan
from dryad.orchestration.review import verdicts
from dryad.orchestration.review.brief import brief, review
from dryad.orchestration.review.plans import shown_plan
from dryad.orchestration.review.reviewers import Proof
from dryad.orchestration.review.verdicts import Verdict

Kind = Literal["approval", "guidance", "clarification", "escalation"]
DECISION_CODE_FROM = "external"
"""Answers in a form lie in clear on the server: from this tier upward a form takes no code but the
one that is good for exactly this answer."""

OPEN = ("pending", "in_progress")
"""Statuses in which a case still takes an answer."""


@dataclass(frozen=True)
class Question:
    """What is to be asked, and of whom it comes."""

    tenant: TenantId
    task: TaskId
    run: RunId
    member: str
    """Who asks: a seat of the task, or `decision-engine`."""
    ordinal: int
    """Which question of this member it is, from 1."""
    kind: Kind
    tier: Tier
    requester: str
    title: str
    why: str
    action: str
    """What would happen on yes, as text; shown quoted."""
    call: dict[str, Any] | None = None
    """`{tool, version, arguments}`: the one call an approval is good for, exactly so."""
    plan: list[dict[str, Any]] | None = None
    """The steps it is about, which a reviewer may edit; see `Plan.to_json`."""
    origin: str = ""
    limits: str = "Only what is written above was looked at."
    policy_version: int = 0
    agent: str = ""
    """The agent that would act, for the policy's rules; '' for a plan."""
    acts: str = PLAN
    """The kind of action, for the policy's rules; see `approval_rules.Act`."""
    asked: int = 0
    """How often a yes to the same call lapsed before it was used."""


@dataclass(frozen=True)
class Vote:
    """What one reviewer said so far."""

    approver: str
    decision: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Case:
    """A question as it stands."""

    id: int
    tenant: TenantId
    task: TaskId
    run: RunId
    kind: str
    tier: str
    status: str
    round: int
    brief: str
    words: tuple[verdicts.Word, ...]
    """The decisions this case takes."""
    proof: Proof
    """What a form has to hold to be believed."""
    needs: Mapping[str, Any]
    """`{approvers, role, why, raised}`: what the policy wanted when it was asked."""
    votes: tuple[Vote, ...]
    """What reviewers said so far, oldest first."""
    talk: tuple[tuple[str, str], ...]
    """Who said what about it."""
    title: str
    requester: str
    created: datetime
    due: datetime
    verdict: Verdict | None
    plan: list[dict[str, Any]] | None = None
    """The steps it is about, as they stand now."""

    @property
    def edited_plan(self) -> Plan | None:
        """The plan that was allowed in place of the one asked about, if it was."""
        edits = None if self.verdict is None else self.verdict.edited_arguments
        if edits is None or self.plan is None or edits != {"steps": self.plan}:
            return None
        return Plan.from_json(self.plan)

    @property
    def key(self) -> str:
        """Key of the form that is open in this round; no key is asked twice."""
        return form_key(self.id, self.round)

    @property
    def form_words(self) -> tuple[verdicts.Word, ...]:
        """The decisions its form takes: what is risky is edited elsewhere."""
        if self.proof == "decision":
            return tuple(word for word in self.words if word != "edit")
        return self.words

    @property
    def allows(self) -> bool:
        """Whether a person allowed what was asked."""
        return self.verdict is not None and self.verdict.allows

    def to_json(self) -> dict[str, Any]:
        """Return the case for people and programs."""
        return {
            "id": self.id,
            "task": self.task,
            "run": self.run,
            "kind": self.kind,
            "tier": self.tier,
            "status": self.status,
            "title": self.title,
            "requester": self.requester,
            "created": self.created.isoformat(),
            "due": self.due.isoformat(),
            "needs": dict(self.needs),
            "verdict": self.verdict.to_json() if self.verdict else None,
            "brief": self.brief,
        }


class StoredAnswer(Protocol):
    """What the Prefect server stored of a form."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The fields as they were sent."""
        ...

    @property
    def created(self) -> datetime:
        """When the server took them."""
        ...


class StoredAnswers(Protocol):
    """Where the answers given in forms lie; satisfied by the run client."""

    def stored_answer(self, run: RunId, key: str) -> StoredAnswer | None:
        """Return the answer stored for one form, or None.

        Raises:
            Unavailable: the server did not answer; nobody may judge meanwhile.
        """
        ...


def form_key(case_id: int, asked: int) -> str:
    """Return the key of the form of one round; lower-case letters, digits, dashes only."""
    return f"q{case_id}-{asked}"


def case_of(
    row: CaseRow,
    votes: Sequence[VoteRow] = (),
    talk: Sequence[tuple[str, str]] = (),
    *,
    single_user: bool,
) -> Case:
    """Read a case from its row, its votes, and who said what about it."""
    said = tuple(Vote(vote.approver, vote.decision, vote.reason, vote.at) for vote in votes)
    proof = proof_of(row.tier, single_user=single_user)
    return Case(
        id=row.id,
        tenant=TenantId(row.tenant),
        task=TaskId(row.task),
        run=RunId(row.run),
        kind=row.kind,
        tier=row.tier,
        status=row.status,
        round=row.round,
        brief=brief(
            row.id,
            row.question,
            kind=row.kind,
            tier=row.tier,
            due=row.due,
            requester=row.requester,
            refusal=row.refusal,
            edited=row.edited,
            review=review(row.needs, [(v.approver, v.decision, v.reason) for v in said], proof),
            talk=talk,
        ),
        words=verdicts.words(editable=editable(row)),
        proof=proof,
        needs=row.needs,
        votes=said,
        talk=tuple(talk),
        title=row.question["title"],
        requester=row.requester,
        created=row.created,
        due=row.due,
        verdict=Verdict(**row.verdict) if row.verdict else None,
        plan=shown_plan(row.question, row.edited),
    )


def proof_of(tier: str, *, single_user: bool) -> Proof:
    """Return what a form has to hold to be believed."""
    if single_user:
        return "none"
    return "decision" if at_least(tier, DECISION_CODE_FROM) else "one-time"


def editable(row: CaseRow) -> bool:
    """Return whether the answer may be *edit*: one exact call can be, and a plan."""
    one_call = row.kind == "approval" and row.question.get("call") is not None
    return one_call or row.question.get("plan") is not None
