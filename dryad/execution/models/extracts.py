"""Answer by quoting: the sentences of given passages that share most with a question."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

STOPWORDS = frozenset(
    _WORD.findall(
        """a about above according after again against all also am an and any are as at be
    because been before being below between both but by can could did do does doing
    down during each explain few find for from further give had has have having he
    her here hers him his how i if in into is it its itself just list look me more
    most my name no nor not of off on once only or other our out over own please same
    search she should show so some such tell than that the their them then there
    these they this those through to too under until up us very was we were what when
    where which while who whom why will with would you your cite documents
    documentation sources"""
    )
)
"""Words that say nothing about what a question is about."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'“(`\w]|\[(?!\d))|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")
_LONGEST = 500


class Quote(NamedTuple):
    """A sentence, and the place of its passage among those given."""

    place: int
    text: str


def stem(word: str) -> str:
    """Return a word without its commonest English endings, lower case."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    for ending in ("ingly", "edly", "ing", "ied", "ies", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stemmed = word.removesuffix(ending)
            return stemmed + "y" if ending in {"ied", "ies"} else stemmed.removesuffix("e")
    return word.removesuffix("e") if len(word) > 4 else word


def content_words(text: str) -> list[str]:
    """Return the words of a text that carry its meaning, each once, in order."""
    words = [word for word in _WORD.findall(text) if word.lower() not in STOPWORDS]
    return list(dict.fromkeys(word for word in words if len(word) > 1 or word.isdigit()))


def sentences(text: str) -> list[str]:
    """Split a text, markdown included, into sentences and list items on one line each."""
    parts = (" ".join(part.split()).lstrip("-*•#> ") for part in _SENTENCE.split(text))
    return [part for part in parts if part]


def best_sentences(question: str, passages: Sequence[str], *, limit: int = 3) -> list[Quote]:
    """Return the sentences that answer best, in the order of the passages.

    A sentence counts by the rarity, among all sentences, of the question's words in it. One is
    returned only when it has at least two of them (or the only one there is); a weaker one only
    when it has at least two thirds of the best one's weight.

    Args:
        question: What is asked.
        passages: Texts to quote from.
        limit: The most sentences returned.
    """
    wanted = {stem(word) for word in content_words(question)}
    candidates = [
        (Quote(place, sentence), wanted & {stem(word) for word in _WORD.findall(sentence)})
        for place, passage in enumerate(passages)
        for sentence in sentences(passage)
        if len(_WORD.findall(sentence)) >= 4
    ]
    spread = Counter(word for _, shared in candidates for word in shared)
    weight = {word: math.log(1 + len(candidates) / count) for word, count in spread.items()}
    needed = min(2, len(wanted))
    scored = sorted(
        (
            (-sum(weight[word] for word in shared), place, quote)
            for place, (quote, shared) in enumerate(candidates)
            if len(shared) >= needed > 0
        ),
    )
    chosen: dict[str, tuple[int, Quote]] = {}
    for score, place, quote in scored:
        if len(chosen) == limit or score > scored[0][0] * 2 / 3:
            break
        chosen.setdefault(quote.text, (place, quote))
    return [quote._replace(text=_short(quote.text)) for _, quote in sorted(chosen.values())]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rsplit(" ", 1)[0] + "…"
