"""What members bring back, and how it becomes one answer that says who found what."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ToolUse:
    """One tool call as the report shows it."""

    tool: str
    seconds: float
    outcome: str
    """`done`, or why not."""


@dataclass(frozen=True)
class Citation:
    """Where a statement comes from: characters `[start, stop)` of a section of a document."""

    title: str
    section: str
    origin: str
    start: int
    stop: int
    provenance: str


@dataclass(frozen=True)
class Finding:
    """What one seat brought back, and what it took."""

    member: str
    agent: str
    text: str
    citations: tuple[Citation, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    episodes: int = 1
    tokens: int = 0
    cost_usd: float = 0.0
    degraded: str = ""
    """Why the answer is less than a full model would give; '' when it is not."""


def synthesise(findings: Sequence[Finding]) -> dict[str, Any]:
    """Join findings into the result of a task: one answer, its sources numbered once.

    Each member's text cites its own sources as [1], [2], …; here they are renumbered over all.
    """
    citations: list[dict[str, Any]] = []
    texts: list[str] = []
    for finding in findings:
        text, offset = finding.text, len(citations)
        for number in range(len(finding.citations), 0, -1):
            text = text.replace(f"[{number}]", f"[{number + offset}]")
        citations += [asdict(citation) for citation in finding.citations]
        texts.append(text if len(findings) == 1 else f"{finding.member}: {text}")
    return {
        "answer": "\n\n".join(texts),
        "citations": citations,
        "degraded": "; ".join(dict.fromkeys(f.degraded for f in findings if f.degraded)),
        "work": [{**asdict(finding), "citations": len(finding.citations)} for finding in findings],
    }
