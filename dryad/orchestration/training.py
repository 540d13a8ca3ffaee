"""Train the complexity model, and measure it beside simpler ones on domains it never saw.

Needs numpy, which is imported by whoever trains or evaluates and by nobody else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dryad.orchestration.baselines import TfIdf, keyword_score, word_count
from dryad.orchestration.calibration import refit
from dryad.orchestration.complexity import TASK_FORCE_ABOVE, LogisticModel, Weight
from dryad.orchestration.features import NAMES, features
from dryad.orchestration.offline_planner import offline_plan
from dryad.orchestration.taskbench import Labelled

Floats = NDArray[np.float64]

PENALTY = 10.0
"""Of squared coefficients, over the whole data."""

SEED = 7
"""Draws the requests that stand for a tenant's own labels."""

LABELS = 100
"""How many labels a recalibration gets in an evaluation."""

FEW = 20
"""Fewer requests than this say nothing about a share."""

DRAWS = 10
"""Sets of labels drawn; figures of the recalibrated scorer are their means."""

BINS = 10


@dataclass(frozen=True)
class Measured:
    """How one scorer did on one domain that it was not trained on.

    Attributes:
        scorer: Its name.
        domain: The domain held out.
        auroc: Chance that a request of several steps scores above one of one step.
        f1: Of "takes several steps", at the threshold fixed beforehand.
        ece: Expected calibration error over ten bins.
        bins: (mean score, share that takes several steps, number) of each bin that is not empty.
    """

    scorer: str
    domain: str
    auroc: float
    f1: float
    ece: float
    bins: tuple[tuple[float, float, int], ...]


def train(data: Sequence[Labelled], *, about: dict[str, Any]) -> LogisticModel:
    """Fit the model to every domain given.

    Args:
        data: Labelled requests, with both labels among them.
        about: What is said of the data in the model.
    """
    seen = np.array([[*features(text).values()] for part in data for text in part.texts])
    several = _labels(data)
    mean, scale = seen.mean(axis=0), seen.std(axis=0)
    scale[scale == 0] = 1.0
    coefficients, intercept = _fit_nonnegative((seen - mean) / scale, several)
    return LogisticModel(
        round(intercept, 4),
        tuple(
            Weight(name, round(m, 4), round(s, 4), round(c, 4))
            for name, m, s, c in zip(
                NAMES, mean.tolist(), scale.tolist(), coefficients.tolist(), strict=True
            )
        ),
        _plan_evidence(data),
        {**about, "prompts": len(several), "penalty": PENALTY},
    )


def _plan_evidence(data: Sequence[Labelled]) -> tuple[float, ...]:
    """Return the share of several-step requests by steps of the offline plan: 1, 2, 3, 4 or more.

    The lowest of the domains counts, and no number of steps says less than a smaller one.
    """
    shares = [1.0] * 4
    for part in data:
        steps = np.array([min(len(offline_plan(text).steps), 4) for text in part.texts])
        truth = _labels([part])
        for number in range(1, 5):
            if (steps == number).sum() >= FEW:
                shares[number - 1] = min(shares[number - 1], float(truth[steps == number].mean()))
    return tuple(round(share, 3) for share in np.minimum.accumulate(shares[::-1])[::-1])


def evaluate(data: Sequence[Labelled]) -> list[Measured]:
    """Hold out one domain after the other; everything is fitted and fixed on the others.

    The threshold of every scorer is `TASK_FORCE_ABOVE`, the product's own. The last scorer is ours
    after it has seen `LABELS` requests of the domain, and is measured on the others.
    """
    measured: list[Measured] = []
    for held_out in data:
        others = [part for part in data if part is not held_out]
        truth = _labels([held_out])
        scores = {name: make(others, held_out) for name, make in _SCORERS.items()}
        measured += [_measure(name, held_out, got, truth) for name, got in scores.items()]
        measured.append(_recalibrated(held_out, scores[OURS], truth))
    return measured


OURS = "named features"
RECALIBRATED = f"{OURS}, recalibrated on {LABELS} labels"


def _ours(others: Sequence[Labelled], held_out: Labelled) -> Floats:
    model = train(others, about={})
    return _sigmoid(
        np.array(
            [
                model.intercept + sum(model.contributions(features(text)).values())
                for text in held_out.texts
            ]
        )
    )


def _words(others: Sequence[Labelled], held_out: Labelled) -> Floats:
    counts = np.log2(1 + np.array([word_count(t) for part in others for t in part.texts]))
    middle, spread = counts.mean(), counts.std() or 1.0
    weights, intercept = fit_logistic(((counts - middle) / spread)[:, None], _labels(others))
    own = np.log2(1 + np.array([word_count(t) for t in held_out.texts]))
    return _sigmoid((own - middle) / spread * weights[0] + intercept)


def _tf_idf(others: Sequence[Labelled], held_out: Labelled) -> Floats:
    texts = [text for part in others for text in part.texts]
    return TfIdf.fit(texts, _labels(others)).scores(held_out.texts)


def _keywords(_others: Sequence[Labelled], held_out: Labelled) -> Floats:
    return np.array([keyword_score(text) for text in held_out.texts])


_SCORERS: dict[str, Callable[[Sequence[Labelled], Labelled], Floats]] = {
    OURS: _ours,
    "TF-IDF": _tf_idf,
    "word count": _words,
    "keywords": _keywords,
}


def _recalibrated(held_out: Labelled, scores: Floats, truth: Floats) -> Measured:
    """Measure the correction as a tenant would get it: the mean over `DRAWS` sets of labels."""
    odds = np.log(np.clip(scores, 1e-9, 1 - 1e-9) / np.clip(1 - scores, 1e-9, 1))
    draws = np.random.default_rng(SEED)
    got: list[Measured] = []
    for _ in range(DRAWS):
        order = draws.permutation(len(truth))
        known, rest = order[:LABELS], order[LABELS:]
        fitted = refit(odds[known].tolist(), [bool(label) for label in truth[known]])
        by = fitted.recalibration
        corrected = _sigmoid(by.slope * odds[rest] + by.offset)
        one = _measure(RECALIBRATED, held_out, corrected, truth[rest], threshold=fitted.threshold)
        got.append(one)
    return replace(
        got[0],
        auroc=_mean([one.auroc for one in got]),
        f1=_mean([one.f1 for one in got]),
        ece=_mean([one.ece for one in got]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _measure(
    scorer: str,
    held_out: Labelled,
    scores: Floats,
    truth: Floats,
    *,
    threshold: float = TASK_FORCE_ABOVE,
) -> Measured:
    bins = reliability(scores, truth)
    said = scores > threshold
    right = float((said & (truth == 1)).sum())
    found = float(said.sum() + truth.sum())
    return Measured(
        scorer,
        held_out.domain,
        auroc(scores, truth),
        2 * right / found if found else 0.0,
        sum(abs(mean - share) * number for mean, share, number in bins) / len(truth),
        bins,
    )


def auroc(scores: Floats, truth: Floats) -> float:
    """Return the chance that a positive scores above a negative; ties count half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positive = truth.sum()
    negative = len(truth) - positive
    above = ranks[truth == 1].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative)) if positive and negative else 0.5


def reliability(scores: Floats, truth: Floats) -> tuple[tuple[float, float, int], ...]:
    """Return (mean score, share of positives, number) of each of ten bins that is not empty."""
    place = np.minimum((scores * BINS).astype(int), BINS - 1)
    return tuple(
        (
            float(scores[place == number].mean()),
            float(truth[place == number].mean()),
            int((place == number).sum()),
        )
        for number in range(BINS)
        if (place == number).any()
    )


def fit_logistic(seen: Floats, truth: Floats) -> tuple[Floats, float]:
    """Fit coefficients and intercept by Newton's method; squared coefficients cost `PENALTY`."""
    design = np.column_stack([seen, np.ones(len(seen))])
    penalty = np.diag([*[PENALTY] * seen.shape[1], 0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        chance = _sigmoid(design @ weights)
        slope = design.T @ (chance - truth) + penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights[:-1], float(weights[-1])


def _fit_nonnegative(seen: Floats, truth: Floats) -> tuple[Floats, float]:
    """Fit with no negative coefficient: what came out negative is left out, and again."""
    kept: NDArray[np.int64] = np.arange(seen.shape[1], dtype=np.int64)
    while True:
        weights, intercept = fit_logistic(seen[:, kept], truth)
        if (weights >= 0).all():
            whole = np.zeros(seen.shape[1])
            whole[kept] = weights
            return whole, intercept
        kept = kept[weights >= 0]


def _labels(data: Sequence[Labelled]) -> Floats:
    return np.array([float(label) for part in data for label in part.several])


def _sigmoid(odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
