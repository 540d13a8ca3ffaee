"""What members bring back, and how it becomes one answer that says who found what."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dryad.execution.episodes import Done, Source
from dryad.orchestration.decision import Seat


@dataclass(frozen=True)
class Finding:
    """What one seat brought back, and what it took."""

    seat: Seat
    done: Done

    @property
    def text(self) -> str:
        """What it says, or why it stopped."""
        return self.done.output or f"(stopped: {self.done.reason})"

    def to_json(self) -> dict[str, Any]:
        """Return what a report shows of the work."""
        usage = self.done.usage
        return {
            "member": self.seat.member,
            "agent": self.seat.agent,
            "status": self.done.status,
            "reason": self.done.reason,
            "models": list(self.done.progress.models),
            "tools": [asdict(use) for use in self.done.progress.tools],
            "steps": usage.steps,
            "tokens": usage.tokens,
            "cost_usd": float(usage.cost_usd),
            "seconds": round(usage.seconds, 3),
            "untrusted": self.done.untrusted,
        }


def synthesise(
    findings: Sequence[Finding], ladder: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Join findings into the result of a task: one answer, its sources numbered once.

    Each member cites its own sources as [1], [2], …; here they are numbered over all members.

    Args:
        findings: What each member brought back.
        ladder: What was doubted on the way, and who was asked about it.
    """
    citations: list[dict[str, Any]] = []
    texts: list[str] = []
    for finding in findings:
        numbers: dict[int, int] = {}
        for source in finding.done.citations:
            citations.append(_citation(source))
            numbers[source.number] = len(citations)
        text = re.sub(
            r"\[(\d+)\]",
            lambda match, known=numbers: f"[{known.get(int(match[1]), match[1])}]",
            finding.text,
        )
        texts.append(text if len(findings) == 1 else f"{finding.seat.member}:\n{text}")
    degraded = dict.fromkeys(f.done.degraded for f in findings if f.done.degraded)
    return {
        "answer": "\n\n".join(texts),
        "citations": citations,
        "degraded": "; ".join(degraded),
        "work": [finding.to_json() for finding in findings],
        "ladder": [dict(rung) for rung in ladder],
    }


def _citation(source: Source) -> dict[str, Any]:
    return {
        "document": source.document,
        "title": source.title,
        "section": source.section,
        "start": source.start,
        "stop": source.stop,
        "origin": source.origin,
        "provenance": source.provenance,
    }
