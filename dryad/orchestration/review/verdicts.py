"""What counts as an answer to a case."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, cast

from dryad.foundation.errors import InvalidRequest
from dryad.orchestration.review.plans import edits_in_form
from dryad.orchestration.review.reviewers import Claim

Word = Literal["approve", "reject", "edit", "reply"]
WORDS: tuple[Word, ...] = ("approve", "reject", "edit", "reply")

WAKE_APPROVER = "dryad-wake"
"""Stands in the form that only wakes a run whose case is closed; never an answer."""

MAX_REASON = 4_000


def words(*, editable: bool) -> tuple[Word, ...]:
    """Return the decisions a case takes."""
    return WORDS if editable else tuple(word for word in WORDS if word != "edit")


@dataclass(frozen=True)
class Verdict:
    """What a person (or the deadline) said, once and for good."""

    decision: Word
    reason: str
    by: str
    via: Literal["ui", "api", "deadline"]
    at: str
    reply: str = ""
    edited_arguments: dict[str, Any] | None = None
    verified: bool = False
    """Whether it is known that it was them."""

    @property
    def allows(self) -> bool:
        """Whether the asked-for action may happen (with the edited arguments, if any)."""
        return self.decision in {"approve", "edit"}

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON."""
        return asdict(self)


def from_form(
    case: int,
    values: Mapping[str, Any],
    *,
    editable: bool,
    at: datetime,
    plan: Sequence[Mapping[str, Any]] | None = None,
) -> Verdict:
    """Read the answer a person gave in the Prefect form.

    Args:
        case: The case whose form was open. Each option names its case, so that a dialog left
            open over another question cannot answer this one.
        values: The form's fields as the server stored them.
        editable: Whether the case takes edited arguments.
        at: When the server took the answer.
        plan: The steps the form was filled in with, where the case is about a plan.

    Raises:
        InvalidRequest: this is no answer to this case; the message says why.
    """
    word, _, number = str(values.get("decision", "")).partition(" #")
    if number != str(case):
        raise InvalidRequest(f"the answer was not given to question #{case}")
    if claim_of(values).approver == WAKE_APPROVER:
        raise InvalidRequest("the run was only woken, nobody answered")
    return checked(
        word,
        reason=values.get("reason"),
        reply=values.get("reply") or "",
        edited_arguments=edits_in_form(values, plan),
        editable=editable,
        via="ui",
        at=at,
    )


def claim_of(values: Mapping[str, Any]) -> Claim:
    """Read who says to have filled in the form."""
    return Claim(
        approver=str(values.get("approver") or "").strip()[:64],
        code=str(values.get("code") or "").strip()[:64],
    )


def checked(
    word: str,
    *,
    reason: object,
    reply: object,
    edited_arguments: object,
    editable: bool,
    via: Literal["ui", "api"],
    at: datetime,
) -> Verdict:
    """Build a verdict, with nobody's name yet, from what somebody sent, or say what it lacks.

    Raises:
        InvalidRequest: unknown decision, no reason, a reply without text, an edit without object.
    """
    allowed = words(editable=editable)
    if word not in allowed:
        raise InvalidRequest(f"the decision must be one of {', '.join(allowed)}, got {word[:40]!r}")
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidRequest("a reason is needed, in a few words")
    if not isinstance(reply, str) or len(reason) > MAX_REASON or len(reply) > MAX_REASON:
        raise InvalidRequest(f"reason and reply are texts of at most {MAX_REASON} characters")
    if word == "reply" and not reply.strip():
        raise InvalidRequest("to reply, fill in the reply")
    if word == "edit" and not isinstance(edited_arguments, dict):
        raise InvalidRequest("to edit, give the whole new arguments (or the plan) as a JSON object")
    if word != "edit" and edited_arguments:
        raise InvalidRequest("something was edited, but the decision is not 'edit'")
    edits = cast("dict[str, Any]", edited_arguments) if word == "edit" else None
    return Verdict(
        decision=word,
        reason=reason.strip(),
        by="",
        via=via,
        at=at.isoformat(),
        reply=reply.strip(),
        edited_arguments=edits,
    )
