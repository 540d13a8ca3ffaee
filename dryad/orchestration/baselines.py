"""What the scorer is measured against: word count, TF-IDF, and the keyword scorer before it."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TOKEN = re.compile(r"[^\W_]+")
_NEWTON_STEPS = 8
_GRADIENTS = 40
_PENALTY = 1.0


def word_count(text: str) -> int:
    """Return how many words a text has."""
    return len(text.split())


# The keyword scorer, rebuilt from its description: five weighted dimensions, each the sum of fixed
# amounts for substrings. Without hand-fed context it stays low for every real request.
_KEYWORDS: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "scope": (0.30, 0.20, ("multiple", "several", "comprehensive", "entire", "complete", "full",
                           "end-to-end", "system", "all ")),
    "uncertainty": (0.15, 0.25, ("unclear", "explore", "investigate", "research", "unknown",
                                 "maybe", "possibly", "figure out")),
    "interdependence": (0.15, 0.25, ("integrate", "coordinate", "depends", "synchronize",
                                     "connect", "across", "combine")),
    "risk": (0.10, 0.25, ("production", "critical", "security", "delete", "migrate", "deploy",
                          "payment", "sensitive")),
}  # fmt: skip
_KEYWORD_DOMAINS = (
    "database", "frontend", "backend", "security", "api", "testing", "design", "infrastructure",
    "machine learning", "legal", "finance",
)  # fmt: skip


def keyword_score(text: str) -> float:
    """Return the score the keyword scorer gave a text without context, in [0, 1]."""
    low = text.lower()
    total = sum(
        weight * min(1.0, amount * sum(word in low for word in words))
        for weight, amount, words in _KEYWORDS.values()
    )
    if "?" in text:
        total += _KEYWORDS["uncertainty"][0] * 0.3
    fields = sum(name in low for name in _KEYWORD_DOMAINS)
    return min(1.0, total + 0.30 * (min(0.8, 0.3 * fields) if fields >= 2 else 0.0))


@dataclass(frozen=True)
class Rows:
    """Texts as sparse rows: `values[i]` of term `terms[i]` in text `texts[i]`; each of length 1."""

    count: int
    texts: NDArray[np.int64]
    terms: NDArray[np.int64]
    values: Floats

    def times(self, weights: Floats) -> Floats:
        """Return the weighted sum of each row."""
        return _sums(self.texts, self.values * weights[self.terms], self.count)

    def back(self, amounts: Floats, terms: int) -> Floats:
        """Return, for each term, its values times the amount of their row, summed up."""
        return _sums(self.terms, self.values * amounts[self.texts], terms)


@dataclass(frozen=True)
class TfIdf:
    """Logistic regression over words and pairs of words, weighted by how rare they are."""

    vocabulary: dict[str, int]
    rarity: Floats
    weights: Floats
    intercept: float

    @staticmethod
    def fit(texts: Sequence[str], truth: Floats) -> "TfIdf":
        """Fit to texts and their labels, 0 or 1; words of one text alone are left out."""
        seen = Counter(term for text in texts for term in set(_terms(text)))
        vocabulary = {term: place for place, term in enumerate(t for t in seen if seen[t] > 1)}
        rarity = np.array([np.log((1 + len(texts)) / (1 + seen[t])) + 1 for t in vocabulary])
        empty = TfIdf(vocabulary, rarity, np.zeros(len(vocabulary)), 0.0)
        weights = _fit(empty.rows(texts), truth, len(vocabulary))
        return replace(empty, weights=weights[:-1], intercept=float(weights[-1]))

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return the chance of label 1 for each text."""
        return 1 / (1 + np.exp(-self.rows(texts).times(self.weights) - self.intercept))

    def rows(self, texts: Sequence[str]) -> Rows:
        """Return the texts as rows over the vocabulary."""
        entries = [
            (row, place, number * self.rarity[place])
            for row, text in enumerate(texts)
            for term, number in Counter(_terms(text)).items()
            if (place := self.vocabulary.get(term)) is not None
        ]
        at = np.array([row for row, _, _ in entries], dtype=np.int64)
        value = np.array([value for _, _, value in entries])
        length = np.sqrt(_sums(at, value**2, len(texts)))
        terms = np.array([place for _, place, _ in entries], dtype=np.int64)
        return Rows(len(texts), at, terms, value / length[at])


def _fit(rows: Rows, truth: Floats, terms: int) -> Floats:
    """Return weights and, last, the intercept: Newton's method over conjugate gradients."""
    penalty = np.append(np.full(terms, _PENALTY), 1e-6)
    weights = np.zeros(terms + 1)

    def back(amounts: Floats) -> Floats:
        return np.append(rows.back(amounts, terms), amounts.sum())

    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-rows.times(weights[:-1]) - weights[-1]))
        bend = chance * (1 - chance)

        def curved(direction: Floats, bend: Floats = bend) -> Floats:
            moved = rows.times(direction[:-1]) + direction[-1]
            return back(bend * moved) + penalty * direction

        weights -= _solve(curved, back(chance - truth) + penalty * weights)
    return weights


def _solve(matrix: Callable[[Floats], Floats], right: Floats) -> Floats:
    """Return x with matrix(x) ≈ right, by conjugate gradients."""
    found, rest = np.zeros_like(right), right.copy()
    direction, size = rest.copy(), float(rest @ rest)
    enough = 1e-6 * size
    for _ in range(_GRADIENTS):
        moved = matrix(direction)
        far = size / float(direction @ moved)
        found, rest = found + far * direction, rest - far * moved
        before, size = size, float(rest @ rest)
        if size <= enough:
            break
        direction = rest + size / before * direction
    return found


def _sums(place: NDArray[np.int64], values: Floats, places: int) -> Floats:
    """Return the sum of the values at each place."""
    return np.bincount(place, values, places).astype(np.float64)


def _terms(text: str) -> list[str]:
    words = _TOKEN.findall(text.lower())
    return [*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]
