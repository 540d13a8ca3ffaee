"""A tenant's own labels correct the scorer, and never turn it round."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.foundation.errors import InvalidRequest
from dryad.orchestration.calibration import calibration_error, refit
from dryad.orchestration.complexity import sigmoid


def labelled(number: int, *, slope: float, offset: float) -> tuple[list[float], list[bool]]:
    draw = random.Random(3)
    odds = [draw.uniform(-5, 5) for _ in range(number)]
    return odds, [draw.random() < sigmoid(slope * value + offset) for value in odds]


def test_a_scorer_that_is_too_shy_is_corrected():
    odds, several = labelled(400, slope=1.0, offset=3.0)
    fitted = refit(odds, several)
    assert fitted.recalibration.offset == pytest.approx(3.0, abs=0.8)
    assert fitted.ece_before > 0.15
    assert fitted.ece_after < 0.05
    corrected = [
        sigmoid(fitted.recalibration.slope * value + fitted.recalibration.offset) for value in odds
    ]
    right = [
        (score > fitted.threshold) == label for score, label in zip(corrected, several, strict=True)
    ]
    assert sum(right) / len(right) > 0.85


def test_a_scorer_that_is_right_is_left_alone():
    odds, several = labelled(100, slope=1.0, offset=0.0)
    fitted = refit(odds, several).recalibration
    assert (fitted.slope, fitted.offset) == (pytest.approx(1, abs=0.3), pytest.approx(0, abs=0.6))


def test_labels_that_contradict_the_scorer_flatten_it():
    odds, several = labelled(200, slope=-1.0, offset=0.0)
    assert 0 < refit(odds, several).recalibration.slope < 0.2


@pytest.mark.parametrize(
    "several", [[True] * 10 + [False] * 9, [True] * 50, [True] * 4 + [False] * 50]
)
def test_too_few_labels_correct_nothing(several: list[bool]):
    with pytest.raises(InvalidRequest, match="at least 20 labels"):
        refit([0.0] * len(several), several)


@given(st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=20, max_size=80))
def test_any_labels_give_a_usable_correction(pairs: list[tuple[float, bool]]):
    odds, several = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    try:
        fitted = refit(odds, several)
    except InvalidRequest:
        assert min(sum(several), len(several) - sum(several)) < 5
        return
    assert 0 < fitted.recalibration.slope <= 100
    assert -50 <= fitted.recalibration.offset <= 50
    assert 0 <= fitted.threshold <= 1


def test_the_calibration_error_of_a_perfect_scorer_is_nothing():
    assert calibration_error([0.0] * 10 + [1.0] * 10, [False] * 10 + [True] * 10) == 0
    assert calibration_error([1.0] * 10, [False] * 10) == 1
