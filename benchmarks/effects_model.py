"""Whether a sentence wants something changed or said outside: a logistic model over words.

It was tried beside the rules of `dryad.orchestration.wording` and is not part of the product;
`docs/explanation/who-does-it.md` says why.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dryad.orchestration.wording import QUOTED

MOST_CHARACTERS = 4_000
"""Of one piece of work that are listened to."""

_TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[,;:?!]")
_SENTENCE = re.compile(r"(?<=[.?!])\s+|\n+")
_LETTER = re.compile(r"[^\W\d_]")
_JOINS = frozenset(",;:") | {
    "and",
    "then",
    "or",
    "und",
    "dann",
    "et",
    "puis",
    "ensuite",
    "y",
    "luego",
}
_POLITE = re.compile(
    "please|pls|kindly|bitte|merci|de|can|could|would|will|you|now|also|just|then|so|hey|finally|"
    "next|afterwards"
)
_START = 5
"""Letters by which forms of one word are alike."""


@dataclass(frozen=True)
class EffectsModel:
    """Log odds: the intercept and what each feature of a sentence adds."""

    intercept: float
    weights: Mapping[str, float]

    def log_odds(self, sentence: str) -> float:
        """Return the log odds that one sentence wants an effect."""
        found = sentence_features(sentence)
        return self.intercept + sum(self.weights.get(name, 0.0) for name in sorted(found))


def sentences(work: str) -> list[str]:
    """Cut work into sentences, without what is quoted; one at least."""
    said = QUOTED.sub(" q ", work[:MOST_CHARACTERS])
    return [part for part in _SENTENCE.split(said) if _LETTER.search(part)] or [said]


def sentence_features(sentence: str) -> set[str]:
    """Return the features of a sentence.

    A word and its beginning (`~`), a pair of neighbours, and what each clause begins with (`@`; `^`
    for the first clause, `&` for a further one), past what is only polite. Numbers are all alike.
    """
    found: set[str] = set()
    before, starts, first = "^", True, True
    for token in _TOKEN.findall(sentence.lower()):
        word = "#" if token[0].isdigit() else token
        if word in {"?", "!"}:
            found.add(word)
            continue
        found.add(f"{before} {word}")
        before = word
        if word in _JOINS:
            starts = True
            continue
        found |= {word, f"~{word[:_START]}"}
        if starts and not _POLITE.fullmatch(word):
            found |= {f"{'^' if first else '&'}{word}", f"@{word}", f"@~{word[:_START]}"}
            starts = first = False
    return found
