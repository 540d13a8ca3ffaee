"""Fit the scorer to a tenant's own decisions: two numbers and a threshold, from 20 labels up."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dryad.foundation.errors import InvalidRequest
from dryad.orchestration.complexity import NO_RECALIBRATION, Recalibration, sigmoid

FEWEST = 20
_EACH = 5
_PRIOR = 10.0
"""Strength of the pull towards changing nothing: a few labels must not undo what thousands said."""


@dataclass(frozen=True)
class Refitted:
    """What labels say: the correction, the threshold, and the calibration error without and with.

    The error "after" is measured on labels the fit had not seen (ten-fold).
    """

    recalibration: Recalibration
    threshold: float
    labels: int
    ece_before: float
    ece_after: float


def refit(log_odds: Sequence[float], several: Sequence[bool]) -> Refitted:
    """Fit slope and offset of the log odds (Platt), and the threshold with the best F1.

    Args:
        log_odds: What the shipped model says of each request.
        several: Whether it really took several steps.

    Raises:
        InvalidRequest: fewer than `FEWEST` labels, or almost all alike.

    Source:
        Platt, "Probabilistic outputs for support vector machines" (1999), with its smoothed
        targets.
    """
    positive = sum(several)
    if len(several) < FEWEST or min(positive, len(several) - positive) < _EACH:
        raise InvalidRequest(
            f"recalibrating takes at least {FEWEST} labels with {_EACH} of either kind, "
            f"got {positive} of several steps and {len(several) - positive} of one",
            "Label more decisions; 50 to 100 are a good number.",
        )
    fitted = _platt(log_odds, several)
    held_out = [0.0] * len(several)
    for fold in range(10):
        rest = [place for place in range(len(several)) if place % 10 != fold]
        part = _platt([log_odds[p] for p in rest], [several[p] for p in rest])
        for place in range(fold, len(several), 10):
            held_out[place] = _chance(part, log_odds[place])
    scores = [_chance(fitted, odds) for odds in log_odds]
    return Refitted(
        fitted,
        _best_threshold(scores, several),
        len(several),
        calibration_error([_chance(NO_RECALIBRATION, odds) for odds in log_odds], several),
        calibration_error(held_out, several),
    )


def calibration_error(scores: Sequence[float], several: Sequence[bool], bins: int = 5) -> float:
    """Return the expected calibration error over bins of equal numbers.

    Few labels leave bins of equal width almost empty; these hold the same number each.
    """
    ordered = sorted(zip(scores, several, strict=True))
    total = 0.0
    for number in range(bins):
        part = ordered[number * len(ordered) // bins : (number + 1) * len(ordered) // bins]
        total += abs(sum(score for score, _ in part) - sum(label for _, label in part))
    return round(total / len(ordered), 4)


def _chance(by: Recalibration, odds: float) -> float:
    return sigmoid(by.slope * odds + by.offset)


def _platt(log_odds: Sequence[float], several: Sequence[bool]) -> Recalibration:
    """Fit by Newton's method; both numbers are drawn a little to 1 and 0."""
    positive = sum(several)
    high = (positive + 1) / (positive + 2)
    low = 1 / (len(several) - positive + 2)
    slope, offset = 1.0, 0.0
    for _ in range(100):
        grade_s, grade_o = _PRIOR * (slope - 1), _PRIOR / 4 * offset
        curve_ss, curve_so, curve_oo = _PRIOR, 0.0, _PRIOR / 4
        for odds, label in zip(log_odds, several, strict=True):
            chance = sigmoid(slope * odds + offset)
            miss, bend = chance - (high if label else low), chance * (1 - chance)
            grade_s += miss * odds
            grade_o += miss
            curve_ss += bend * odds * odds
            curve_so += bend * odds
            curve_oo += bend
        determinant = curve_ss * curve_oo - curve_so**2
        step_s = (curve_oo * grade_s - curve_so * grade_o) / determinant
        step_o = (curve_ss * grade_o - curve_so * grade_s) / determinant
        # A long step overshoots where the curve is flat.
        shorter = min(1.0, 1.0 / max(abs(step_s), abs(step_o) / 4, 1e-12))
        slope, offset = slope - shorter * step_s, offset - shorter * step_o
        if math.hypot(step_s, step_o) < 1e-9:
            break
    # Labels that contradict the scorer must not turn it round: they only flatten it.
    return Recalibration(round(max(slope, 0.05), 4), round(offset, 4))


def _best_threshold(scores: Sequence[float], several: Sequence[bool]) -> float:
    """Return the threshold with the best F1, midway between two scores; the lowest of equals."""
    ordered = sorted({0.0, *scores, 1.0})
    middles = [(a + b) / 2 for a, b in itertools.pairwise(ordered)]

    def f1(threshold: float) -> float:
        said = [score > threshold for score in scores]
        right = sum(a and b for a, b in zip(said, several, strict=True))
        return 2 * right / (sum(said) + sum(several))

    best = max(middles, key=lambda threshold: (round(f1(threshold), 9), -threshold))
    return round(best, 4)
