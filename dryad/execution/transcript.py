"""What an agent was told, said and did, as a page a person can read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dryad.foundation.canonical import canonical_json

_MOST = 4_000
"""Characters shown of one piece."""

_MOST_PIECES = 400


def transcript(member: str, messages: Sequence[Mapping[str, Any]]) -> str:
    """Return a conversation as Markdown; what was said stands in fences, so none of it is markup.

    Args:
        member: Whose it is.
        messages: As `Progress.messages` holds them.
    """
    lines = [f"# Transcript of {member}"]
    pieces = list(_pieces(messages))
    for title, text in pieces[:_MOST_PIECES]:
        lines += ["", f"## {title}", "", _fenced(text)]
    if len(pieces) > _MOST_PIECES:
        lines += ["", f"… {len(pieces) - _MOST_PIECES} pieces more"]
    return "\n".join(lines) + "\n"


def _pieces(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    instructions = ""
    for message in messages:
        if (said := str(message.get("instructions") or "")) and said != instructions:
            instructions = said
            yield "Instructions", said
        model = _word(message.get("model_name") or "the model")
        for part in message.get("parts", ()):
            tool = _word(part.get("tool_name") or "")
            match part.get("part_kind"):
                case "user-prompt":
                    yield "Task", _text(part["content"])
                case "text":
                    yield f"Answer of {model}", _text(part["content"])
                case "tool-call":
                    yield f"Call of {tool}", _text(part.get("args"))
                case "tool-return":
                    yield (
                        f"{tool} returned ({part.get('outcome', 'success')})",
                        _text(part["content"]),
                    )
                case "retry-prompt":
                    yield "The answer was malformed", _text(part["content"])
                case _:
                    continue


def _text(content: Any) -> str:
    text = content if isinstance(content, str) else canonical_json(content).decode()
    return text if len(text) <= _MOST else f"{text[:_MOST]}\n… {len(text) - _MOST} characters more"


def _word(name: Any) -> str:
    """Return a name with nothing in it that Markdown or HTML would read."""
    return re.sub(r"[^\w.:/-]", "_", str(name))[:100]


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
