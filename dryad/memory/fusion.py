"""Merge what two rankings say about the same passages into one score."""

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


def fuse(words: Scores, meaning: Scores) -> tuple[Scores, Scores, Scores]:
    """Add two scores of n passages after bringing each to [0, 1], with equal weight.

    Args:
        words: Score by word of each passage, ≥ 0; 0 is no hit.
        meaning: Cosine of each passage, in [-1, 1]; what is not above 0 is no hit.

    Returns:
        The sum in [0, 1], and its two parts in [0, 0.5].

    Source:
        Min-max fusion, Fox & Shaw, TREC-2, 1994, with 0 as the least score of both: a lone hit
        stays a hit, and one passage more or less does not move the others.
    """
    parts = 0.5 * _scaled(words), 0.5 * _scaled(meaning)
    return parts[0] + parts[1], *parts


def _scaled(scores: Scores) -> Scores:
    most = scores.max(initial=0.0)
    return np.maximum(scores, 0) / most if most > 0 else np.zeros_like(scores)
