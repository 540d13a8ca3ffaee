"""What a recovery drill measures, and how it compares with what was promised."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from dryad.operations.backups.manifest import hours_of

RTO = timedelta(hours=4)
"""Recovery time objective: how long everything may be away."""
RPO = timedelta(hours=24)
"""Recovery point objective: how much work may be lost."""

CHECKLIST = (
    "Identify failure scope (database, application, infrastructure)",
    "Notify stakeholders of incident",
    "Activate DR team",
    "Restore from most recent backup",
    "Validate data integrity",
    "Run all validation scripts",
    "Resume normal operations",
    "Conduct post-mortem analysis",
)
"""The runbook's list for a disaster, §5.4."""


@dataclass(frozen=True)
class Drill:
    """What came of restoring a set into a scratch installation, starting it and validating it."""

    set_id: str
    steps: dict[str, float]
    """Seconds of each step, in order: restore, start, validate."""
    rpo: timedelta
    """Age of the set's snapshot when the drill began: the work that would have been lost."""
    problems: tuple[str, ...]
    """Why it is no recovery; empty: everything held."""

    @property
    def rto(self) -> timedelta:
        """How long it took from the decision to a validated installation."""
        return timedelta(seconds=sum(self.steps.values()))

    @property
    def missed(self) -> list[str]:
        """Return, in words, every objective that was missed."""
        found = list(self.problems)
        if self.rto > RTO:
            found.append(f"RTO: it took {hours_of(self.rto)}, allowed are {hours_of(RTO)}")
        if self.rpo > RPO:
            found.append(f"RPO: the set is {hours_of(self.rpo)} old, allowed are {hours_of(RPO)}")
        return found


def checklist(drill: Drill, answers: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the runbook's list with who says so for each line.

    Args:
        drill: What a machine could see.
        answers: Line → what a person said about it; missing: nobody was asked yet.
    """
    problem = "; ".join(drill.problems)
    seen = {
        CHECKLIST[3]: f"set {drill.set_id}, {drill.steps.get('restore', 0):.0f} s",
        CHECKLIST[4]: problem or "rows, digests and audit chains are as kept",
        CHECKLIST[5]: problem or f"100 %, {drill.steps.get('validate', 0):.0f} s",
        CHECKLIST[6]: "never by a drill: its global stop stays",
    }
    return [
        {
            "step": f"{number}. {line}",
            "by": "machine" if line in seen else "person",
            "outcome": seen.get(line) or answers.get(line, "not answered"),
        }
        for number, line in enumerate(CHECKLIST, start=1)
    ]
