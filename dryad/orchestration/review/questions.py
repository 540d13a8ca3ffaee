"""A question to a person and the case it becomes: what they hold, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from dryad.foundation.database.models import CaseRow
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.foundation.tools import Tier
from dryad.orchestration.review import verdicts
from dryad.orchestration.review.brief import brief
from dryad.orchestration.review.verdicts import Verdict

Kind = Literal["approval", "guidance", "clarification", "escalation"]
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
    origin: str = ""
    limits: str = "Only what is written above was looked at."
    policy_version: int = 0


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
    title: str
    requester: str
    created: datetime
    due: datetime
    verdict: Verdict | None

    @property
    def key(self) -> str:
        """Key of the form that is open in this round; no key is asked twice."""
        return form_key(self.id, self.round)

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


def case_of(row: CaseRow) -> Case:
    """Read a case from its row."""
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
        ),
        words=verdicts.words(editable=editable(row)),
        title=row.question["title"],
        requester=row.requester,
        created=row.created,
        due=row.due,
        verdict=Verdict(**row.verdict) if row.verdict else None,
    )


def editable(row: CaseRow) -> bool:
    """Return whether the answer may be *edit*: only one exact call can be, a plan cannot."""
    return row.kind == "approval" and row.question.get("call") is not None
