"""How complex a request is: the chance that it takes more than one step, and what speaks for it.

The score is a calibrated probability: a logistic model over the named features of the text, whose
coefficients are data (`complexity.json`, made by `dryad orchestration train`). No coefficient is
negative, so more of anything never lowers the score. Risk is shown beside it and has no share in
it: it comes from the tools of the plan, and the decision weighs it by itself.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, get_args

from dryad.foundation.errors import Corrupt
from dryad.foundation.tools import TIERS, Tier
from dryad.orchestration.features import DIMENSION_OF, NAMES, Dimension, features
from dryad.orchestration.plan import Plan

TASK_FORCE_ABOVE = 0.55
"""The usual threshold of `requires_collaboration`; a tenant's policy may set another."""

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


@dataclass(frozen=True)
class Weight:
    """One feature in the model: `coefficient` log odds for each `scale` above `mean`."""

    name: str
    mean: float
    scale: float
    coefficient: float


@dataclass(frozen=True)
class LogisticModel:
    """A trained scorer: log odds are the intercept and what each feature adds to it."""

    intercept: float
    weights: tuple[Weight, ...]
    plan_evidence: tuple[float, ...]
    """How often a request really took several steps when the offline plan has 1, 2, 3 or more
    steps: the lowest share among the domains trained on."""
    trained_on: Mapping[str, Any]
    """Name, origin, checksums and size of the data, the seed and the strength of the penalty."""

    def contributions(self, seen: Mapping[str, float]) -> dict[str, float]:
        """Return what each feature adds to the log odds of a usual request."""
        return {w.name: w.coefficient * (seen[w.name] - w.mean) / w.scale for w in self.weights}

    def to_json(self) -> dict[str, Any]:
        """Return the model as JSON; `from_json` reads it back."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "LogisticModel":
        """Read what `to_json` made.

        Raises:
            Corrupt: it is no model of the features there are.
        """
        try:
            model = LogisticModel(
                float(data["intercept"]),
                tuple(Weight(**weight) for weight in data["weights"]),
                tuple(float(share) for share in data["plan_evidence"]),
                data["trained_on"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(f"the complexity model cannot be read: {error}") from error
        if tuple(weight.name for weight in model.weights) != NAMES:
            raise Corrupt(
                "the complexity model was trained on other features",
                "Train it again: `dryad orchestration train --data DIR`.",
            )
        return model


@cache
def shipped_model() -> LogisticModel:
    """Return the model this version ships."""
    text = (files("dryad.orchestration") / "complexity.json").read_text(encoding="utf-8")
    return LogisticModel.from_json(json.loads(text))


@dataclass(frozen=True)
class Recalibration:
    """A tenant's correction of the log odds, fitted to its own labelled decisions."""

    slope: float = 1.0
    offset: float = 0.0


NO_RECALIBRATION = Recalibration()


@dataclass(frozen=True)
class Contribution:
    """One dimension of a score.

    Attributes:
        dimension: Which.
        value: How much of it there is, in [0, 1]. For what the model weighs, 0.5 is what a usual
            request has.
        share: How far it moves the score, in points: negative when there is less of it than usual.
        reason: Why, in words that can be counted in the text.
    """

    dimension: Dimension
    value: float
    share: float
    reason: str


@dataclass(frozen=True)
class Complexity:
    """The score, in [0, 1], and what it is made of."""

    score: float
    contributions: tuple[Contribution, ...]
    threshold: float = TASK_FORCE_ABOVE
    plan_evidence: float = 0.0
    """The chance of several steps that the plan shows, whatever the wording says."""

    @property
    def requires_collaboration(self) -> bool:
        """Whether one agent alone is probably not enough, by the wording or by the plan."""
        return max(self.score, self.plan_evidence) > self.threshold

    def of(self, dimension: Dimension) -> Contribution:
        """Return one dimension."""
        return next(part for part in self.contributions if part.dimension == dimension)

    def to_json(self) -> dict[str, Any]:
        """Return the score and its parts as JSON."""
        return {
            "score": self.score,
            "requires_collaboration": self.requires_collaboration,
            "threshold": self.threshold,
            "plan_evidence": self.plan_evidence,
            "contributions": [asdict(part) for part in self.contributions],
        }


def score(
    text: str,
    plan: Plan,
    tier: Tier,
    *,
    recalibration: Recalibration = NO_RECALIBRATION,
    threshold: float = TASK_FORCE_ABOVE,
) -> Complexity:
    """Score a request by its wording; the plan and its risk are told beside it.

    Args:
        text: The request as it was written.
        plan: What it comes down to.
        tier: Highest risk tier of the plan's tools.
        recalibration: The tenant's own correction.
        threshold: Above it, one agent alone is probably not enough.
    """
    model, seen = shipped_model(), features(text)
    added = model.contributions(seen)
    of_dimension = {
        name: sum(added[feature] for feature in NAMES if DIMENSION_OF[feature] == name)
        for name in DIMENSIONS
    }
    total = model.intercept + sum(of_dimension.values())

    def chance(log_odds: float) -> float:
        return sigmoid(recalibration.slope * log_odds + recalibration.offset)

    values: dict[Dimension, float] = {name: sigmoid(of_dimension[name]) for name in DIMENSIONS}
    values["uncertainty"] = min(
        1.0, 0.25 * _count(seen, "hedges") + 0.1 * _count(seen, "questions")
    )
    values["risk"] = TIERS.index(tier) / (len(TIERS) - 1)
    whole = chance(total)
    return Complexity(
        round(whole, 3),
        tuple(
            Contribution(
                name,
                round(values[name], 3),
                round(whole - chance(total - of_dimension[name]), 3),
                _reason(name, seen, plan, tier),
            )
            for name in DIMENSIONS
        ),
        threshold,
        _plan_evidence(model, plan),
    )


def _plan_evidence(model: LogisticModel, plan: Plan) -> float:
    steps = len(plan.steps)
    return 0.0 if steps < 2 else model.plan_evidence[min(steps, len(model.plan_evidence)) - 1]


def log_odds(text: str) -> float:
    """Return what the shipped model says of a text before any recalibration."""
    model = shipped_model()
    return model.intercept + sum(model.contributions(features(text)).values())


def sigmoid(log_odds: float) -> float:
    """Return the probability of log odds, at any magnitude."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return math.exp(log_odds) / (1 + math.exp(log_odds))


def _count(seen: Mapping[str, float], feature: str) -> int:
    return round(2 ** seen[feature] - 1)


def _reason(name: Dimension, seen: Mapping[str, float], plan: Plan, tier: Tier) -> str:
    links = sum(len(step.after) for step in plan.steps)
    said: dict[Dimension, list[str]] = {
        "scope": [
            _counted(_count(seen, "words"), "word"),
            _counted(_count(seen, "things_to_do"), "thing to do", "things to do"),
            f"{_counted(len(plan.steps), 'step')} in the plan",
        ],
        "expertise": [
            f"{_counted(len(plan.capabilities), 'kind')} of work in the plan",
            f"{_counted(_count(seen, 'further_fields'), 'field')} of knowledge beside the first",
        ],
        "uncertainty": [
            _counted(_count(seen, "hedges"), "hedging word"),
            _counted(_count(seen, "questions"), "question"),
            _counted(_count(seen, "conditions"), "condition"),
        ],
        "interdependence": [
            _counted(_count(seen, "words_of_order"), "word of order", "words of order"),
            f"{_counted(links, 'wait')} for an earlier step in the plan",
        ],
        "risk": [f"riskiest tool is of tier {tier}; it is weighed by itself, not in the score"],
    }
    return "; ".join(said[name])


def _counted(number: int, what: str, plural: str = "") -> str:
    return f"{number} {what}" if number == 1 else f"{number} {plural or what + 's'}"
