"""How complex a request is: a score in [0, 1] in five named dimensions, each with its reason.

This scorer is a rule over the plan, not a model: it is monotone and explainable, and it was not
calibrated against labelled tasks. Routing therefore leans on the plan's structure and on risk; the
score alone escalates only near its ceiling.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dryad.foundation.tools import TIERS, Tier
from dryad.orchestration.plan import Plan

Dimension = Literal["scope", "expertise", "uncertainty", "interdependence", "risk"]

WEIGHTS: dict[Dimension, float] = {
    "scope": 0.30,
    "expertise": 0.30,
    "uncertainty": 0.15,
    "interdependence": 0.15,
    "risk": 0.10,
}
COLLABORATION_ABOVE = 0.55

_HEDGES = re.compile(
    r"\b(maybe|perhaps|possibly|somehow|roughly|unclear|unknown|not sure|if possible|depending|"
    r"whether|should we|could|might|etc)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Contribution:
    """One dimension: its value in [0, 1], its weighted share of the score, and why."""

    dimension: Dimension
    value: float
    share: float
    reason: str


@dataclass(frozen=True)
class Complexity:
    """The score, in [0, 1], and what it is made of."""

    score: float
    contributions: tuple[Contribution, ...]

    @property
    def requires_collaboration(self) -> bool:
        """Whether one agent alone is probably not enough."""
        return self.score > COLLABORATION_ABOVE

    def to_json(self) -> dict[str, Any]:
        """Return the score and its parts as JSON."""
        return {
            "score": self.score,
            "requires_collaboration": self.requires_collaboration,
            "contributions": [asdict(part) for part in self.contributions],
        }


def score(text: str, plan: Plan, tier: Tier) -> Complexity:
    """Score a request by its plan, its wording and the risk of the tools it would use.

    Args:
        text: The request as it was written.
        plan: What it comes down to.
        tier: Highest risk tier of the plan's tools.
    """
    words, steps = len(text.split()), len(plan.steps)
    capabilities = len(plan.capabilities)
    links = sum(len(step.after) for step in plan.steps)
    hedges, questions = len(_HEDGES.findall(text)), text.count("?")
    measured: dict[Dimension, tuple[float, str]] = {
        "scope": (
            0.7 * min(1, (steps - 1) / 5) + 0.3 * min(1, words / 300),
            f"{_counted(steps, 'step')} in {_counted(words, 'word')}",
        ),
        "expertise": (
            min(1, (capabilities - 1) / 2),
            f"{_counted(capabilities, 'kind')} of work: {', '.join(sorted(plan.capabilities))}",
        ),
        "uncertainty": (
            min(1, 0.3 * hedges + 0.2 * questions),
            f"{_counted(hedges, 'hedging word')}, {_counted(questions, 'question mark')}",
        ),
        "interdependence": (min(1, links / 4), f"{_counted(links, 'wait')} for an earlier step"),
        "risk": (TIERS.index(tier) / (len(TIERS) - 1), f"riskiest tool is of tier {tier}"),
    }
    parts = tuple(
        Contribution(name, round(value, 3), round(value * WEIGHTS[name], 3), reason)
        for name, (value, reason) in measured.items()
    )
    return Complexity(round(sum(part.share for part in parts), 3), parts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
