"""The page a reviewer decides from. Only its template is markdown; see `quoting` for the rest."""

import difflib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dryad.orchestration.review.plans import difference_in, edits_plan
from dryad.orchestration.review.quoting import inline, quoted

_PROOFS = {
    "none": (
        "**Single-user mode: who answers is *unverified*.** Enrol reviewers with "
        "`dryad reviewers add` to know who it was."
    ),
    "one-time": "**Sign with** your id and a new one-time code of your device.",
    "decision": (
        "**Sign with** your id and the decision code of your answer: `dryad inbox codes {case}`."
    ),
}


_EDITED = {True: "plan (or arguments of the call)", False: "arguments"}


def brief(
    case: int,
    question: Mapping[str, Any],
    *,
    kind: str,
    tier: str,
    due: datetime,
    requester: str,
    refusal: str = "",
    edited: Mapping[str, Any] | None = None,
    review: str = "",
    talk: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the markdown page of one case.

    Args:
        case: Number of the case; the answer must name it.
        question: `{title, why, action, call, origin, limits}`; only `title`, `why` and
            `limits` come from our own code, the rest is quoted.
        kind: approval | guidance | clarification | escalation.
        tier: Risk tier of what would happen.
        due: When silence counts as no.
        requester: Who started the task, as far as known.
        refusal: Why the last answer was not accepted.
        edited: What a reviewer put in place of the arguments, or of the plan, asked about.
        review: Who must say yes, and who did; see `review`.
        talk: Sender and text of what was said about it.
    """
    parts: list[str] = []
    if refusal:
        parts.append(f"> **Your last answer was not accepted:** {inline(refusal)}\n")
    parts += [
        f"## Question #{case}: {inline(str(question['title']))}",
        f"**Why you are asked:** {inline(str(question['why']))}",
        (
            f"**Kind** {kind} · **risk tier** {tier} · **requested by** {inline(requester)} · "
            f"**answer before** {due:%Y-%m-%d %H:%M} UTC, after that it counts as *no*"
        ),
    ]
    if review:
        parts.append(review.replace("{case}", str(case)))
    parts += ["### What would happen", quoted(str(question["action"]))]
    parts += _exactly(question, edited)
    if question.get("origin"):
        parts += ["### Where this comes from", quoted(str(question["origin"]))]
    if talk:
        said = "\n\n".join(f"{sender}: {text}" for sender, text in talk)
        parts += ["### What was said about it", quoted(said)]
    parts += [
        "### What this judgement cannot know",
        inline(str(question["limits"])),
        (
            "*approve* does exactly this, once · *reject* prevents it · *edit* does it with the "
            f"{_EDITED[question.get('plan') is not None]} you give · *reply* answers without "
            "allowing it."
        ),
    ]
    return "\n\n".join(parts)


def _exactly(question: Mapping[str, Any], edited: Mapping[str, Any] | None) -> list[str]:
    """Return the call that would be made, and what a reviewer changed in it or in the plan."""
    if edited is not None and edits_plan(question, edited):
        return [
            "### What a reviewer changed in the plan",
            quoted(difference_in(question, edited)),
            "Yes is good for the plan with these changes.",
        ]
    call = question.get("call")
    if call is None:
        return []
    shown = [
        "### With exactly this call",
        f"**{inline(call['tool'])}**, version {inline(call['version'])}, with the arguments",
        quoted(_pretty(call["arguments"] if edited is None else edited)),
    ]
    if edited is not None:
        difference = quoted(changed(call["arguments"], edited))
        shown += ["### What a reviewer changed in them", difference]
    return shown


def review(needs: Mapping[str, Any], votes: Sequence[tuple[str, str, str]], proof: str) -> str:
    """Return the lines that say who must say yes, who did, and how an answer is signed.

    Args:
        needs: `{approvers, role, why, raised}`, see `CaseRow.needs`.
        votes: Approver, decision and reason of what was said so far.
        proof: `none`, `one-time` or `decision`.
    """
    single = proof == "none"
    people = "one reviewer" if single or needs["approvers"] < 2 else "two different reviewers"
    role = f" with the role {needs['role']}" if needs["role"] else ""
    lines = [f"**Needs** a yes of {people}{role} ({inline(str(needs['why']))})."]
    lines += [
        f"**{inline(approver)}** said *{decision}*: {inline(reason)}"
        for approver, decision, reason in votes
    ]
    return "\n\n".join([*lines, _PROOFS[proof]])


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return how edited arguments differ from those asked about, line by line (`-`, `+`)."""
    lines = difflib.unified_diff(
        _pretty(before).splitlines(),
        _pretty(after).splitlines(),
        "asked",
        "edited",
        lineterm="",
        n=2,
    )
    return "\n".join(lines)


def _pretty(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False, indent=2, sort_keys=True)
