"""Read what a plainly written task wants done: messages to send, files to write, and the rest."""

import re
from dataclasses import dataclass
from typing import Literal

_CONTEXT = re.compile(
    r"^(?:#+\s*)?(?:context|findings|material|notes|results so far)\s*:?\s*$|"
    r"^(?:context|findings|material|notes|results so far)\s*:\s*(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
_STEP = re.compile(
    r"^\s*(?:your )?step\s*:\s*(.+(?:\n(?!\s*\n|\w[\w ]*:).+)*)", re.IGNORECASE | re.MULTILINE
)
_JOINT = re.compile(r"(?:[\s,;]*\b(?:and|then|please)\b)*[\s,;]*$", re.IGNORECASE)
_VERB = re.compile(
    r"(?:^|[.;!?,]\s+|\b(?:and|then|please)\s+)"
    r"(?P<verb>notify|tell|inform|alert|e-?mail|message|send|write|save|store)\b"
    r"(?!\s+(?:me|us)\b)",
    re.IGNORECASE,
)
_SEND = re.compile(
    r"send\s+(?P<message>.+?)\s+to\s+(?P<to>[^\s:,][^:,\n]{0,199}?)\s*(?::\s*(?P<more>.+))?$",
    re.IGNORECASE | re.DOTALL,
)
_TELL = re.compile(
    r"(?:notify|tell|inform|alert|e-?mail|message)\s+(?P<to>[^:\n]{1,200}?)\s*"
    r"(?::|,?\s+that\b|\s+about\b|\s+of\b)\s*(?P<message>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_FILE = re.compile(
    r"(?:write|save|store)\s+(?P<what>.*?)\s*\b(?:to|into|as|in)\s+(?:the\s+|a\s+)?(?:file\s+)?"
    r"[\"'`]?(?P<path>[^\s\"'`:]*\.\w{1,8})[\"'`]?\s*(?::\s*(?P<content>.+))?$",
    re.IGNORECASE | re.DOTALL,
)
_POINTS_BACK = re.compile(
    r"(?:it|this|that|them|(?:the|these|those|your)\s+(?:\w+\s+)?"
    r"(?:result|results|answer|answers|summary|finding|findings|numbers?|sum|total|mean|value))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Action:
    """Something to do: a message `to` somebody, or a file at `to`. '' as text: what was found."""

    kind: Literal["notify", "write_file"]
    to: str
    text: str


@dataclass(frozen=True)
class Reading:
    """A task as it was understood: what is asked, what to do then, and what was given with it."""

    question: str
    actions: tuple[Action, ...]
    context: str
    unclear: tuple[str, ...] = ()
    """Commands that were seen but not understood."""


def read_task(prompt: str, instructions: str = "") -> Reading:
    """Read a task and its plan step.

    A line `Step: …` in instructions or prompt is what is to be done now; the rest is then what it
    is about. What stands below a line `Context:` or `Findings:` was given, and asks for nothing.
    """
    marker = _CONTEXT.search(prompt)
    task = prompt[: marker.start()].strip() if marker else prompt.strip()
    context = prompt[marker.end() :].strip() if marker else ""
    step = _STEP.search(task) or _STEP.search(instructions)
    if step is not None:
        rest = _STEP.sub("", task).strip()
        goal = step[1].strip()
        context = f"{rest}\n\n{context}".strip()
    else:
        goal = task
    question, segments = _segments(goal)
    actions: list[Action] = []
    unclear: list[str] = []
    for segment in segments:
        action = _action(segment)
        if action is not None:
            actions.append(action)
        elif re.match(r"write|save|store", segment, re.IGNORECASE):
            question = f"{question} {segment}".strip()  # "write a summary": an answer, not a file
        else:
            unclear.append(segment)
    return Reading(question, tuple(actions), context, tuple(unclear))


def _segments(goal: str) -> tuple[str, list[str]]:
    """Split a goal at its commands; after a colon all is message."""
    starts: list[int] = []
    for match in _VERB.finditer(goal):
        if starts and ":" in goal[starts[-1] : match.start()]:
            break
        starts.append(match.start("verb"))
    if not starts:
        return goal, []
    stops = [*starts[1:], len(goal)]
    question = _JOINT.sub("", goal[: starts[0]])
    segments = [_JOINT.sub("", goal[a:b]).strip() for a, b in zip(starts, stops, strict=True)]
    return question.strip(" ,;"), segments


def _action(segment: str) -> Action | None:
    if match := _FILE.match(segment):
        return Action("write_file", match["path"], _text(match["content"] or match["what"]))
    if match := _SEND.match(segment):
        return Action(
            "notify", match["to"].strip(" .'\""), _text(match["more"] or match["message"])
        )
    if match := _TELL.match(segment):
        return Action("notify", match["to"].strip(" .'\""), _text(match["message"]))
    return None


def _text(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] in "\"'“`" and text[-1] in "\"'”`":
        text = text[1:-1]
    return "" if _POINTS_BACK.fullmatch(text.rstrip(".")) else text
