"""The page a reviewer decides from. Only its template is markdown.

Whatever agents, tools, documents or requesters wrote stands in a fence longer than any fence
inside it, with control and bidirectional characters made visible, cut at a stated length with the
digest of the whole.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

MAX_QUOTED = 6_000
"""Characters of foreign text shown; the rest is named by its digest."""


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
    if question.get("call") is not None:
        shown = json.dumps(question["call"], ensure_ascii=False, indent=2, sort_keys=True)
        parts += ["### With exactly this call", quoted(shown)]
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


def quoted(text: str) -> str:
    """Return foreign text in a fence it cannot leave."""
    shown = visible(text[:MAX_QUOTED])
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    cut = ""
    if len(text) > MAX_QUOTED:
        whole = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        cut = f"\n\n*Cut: {MAX_QUOTED} of {len(text)} characters shown; sha256 {whole}*"
    return f"{fence}text\n{shown}\n{fence}{cut}"


def inline(text: str) -> str:
    """Return short foreign text for a running line: one line, nothing in it is markdown."""
    flat = " ".join(visible(text[:500]).split())
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&:/@.-])", r"\\\1", flat)


def visible(text: str) -> str:
    """Replace control, bidirectional, zero-width and unassigned characters by their names."""
    return "".join(
        char
        if char in "\n\t" or unicodedata.category(char) not in _HIDDEN
        else f"⟨U+{ord(char):04X}⟩"
        for char in text.replace("\r\n", "\n")
    )


_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
