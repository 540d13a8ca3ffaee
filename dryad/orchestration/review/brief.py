"""The page a reviewer decides from. Only its template is markdown; see `quoting` for the rest."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dryad.orchestration.review.quoting import inline, quoted


def brief(
    case: int,
    question: Mapping[str, Any],
    *,
    kind: str,
    tier: str,
    due: datetime,
    requester: str,
    refusal: str = "",
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
        "### What would happen",
        quoted(str(question["action"])),
    ]
    if (call := question.get("call")) is not None:
        shown = json.dumps(call["arguments"], ensure_ascii=False, indent=2, sort_keys=True)
        parts += [
            "### With exactly this call",
            f"**{inline(call['tool'])}**, version {inline(call['version'])}, with the arguments",
            quoted(shown),
        ]
    if question.get("origin"):
        parts += ["### Where this comes from", quoted(str(question["origin"]))]
    parts += [
        "### What this judgement cannot know",
        inline(str(question["limits"])),
        (
            "*approve* does exactly this, once · *reject* prevents it · *edit* does it with the "
            "arguments you give · *reply* answers without allowing it."
        ),
    ]
    return "\n\n".join(parts)
