"""What a text is about, found without a model: its language, whom and what it names, its topics."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

MOST_ENTITIES = 20
MOST_TOPICS = 10
_READ = 20_000
"""Characters looked at; what a longer text is about is said by then."""

_MONTHS = (
    "January February March April May June July August September October November December "
    "Januar Februar März Mai Juni Juli Oktober Dezember"
).replace(" ", "|")
_FIXED = re.compile(
    r"https?://[^\s<>()\"']+[^\s<>()\"'.,;:!?]"
    r"|[\w.+-]+@[\w-]+\.[\w.-]*\w"
    r"|\b\d{4}-\d{2}-\d{2}\b"
    rf"|\b\d{{1,2}}\.? (?:{_MONTHS}) \d{{4}}\b"
    r"|[$€£]\s?\d[\d,.]*\d|\b\d[\d,.]*\s?(?:USD|EUR|GBP|€|%)"
)
# Several capitalised words, or one in the middle of a sentence; capitals with digits, as in B-52.
_NAME = re.compile(
    r"(?:(?<=[^\W\d_] )|(?<=, ))[A-ZÀ-Þ][\w'-]+(?: (?:of |de |von |van )?[A-ZÀ-Þ][\w'-]+)*"
    r"|[A-ZÀ-Þ][\w'-]+(?: (?:of |de |von |van )?[A-ZÀ-Þ][\w'-]+)+"
    r"|\b[A-Z]{2,}(?:-?\d+)?\b"
)
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_BREAK = re.compile(r"[.,;:!?()\[\]{}\"“”„«»|/\n•*#>-]+\s*")

_LIKELY = 0.3
"""Of a hundred languages; a sentence of four English words has that much."""

_SURE = 40
"""Words from which on a text says enough about itself."""


@dataclass(frozen=True)
class Annotations:
    """What was found in a text; all of it stands there.

    `language` is ISO 639-1, '' when it cannot be told. `confidence` in [0, 1] is how far the rest
    may be relied on: little for a short text, or one in no clear language.
    """

    language: str = ""
    entities: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    confidence: float = 0.0


def annotate(text: str) -> Annotations:
    """Find what `text` is about; the same text always gives the same answer."""
    text = text[:_READ]
    words = _WORD.findall(text)
    language, sure = _language(text) if words else ("", 0.0)
    stops = _stops(language)
    return Annotations(
        language=language,
        entities=_entities(text, stops),
        topics=_topics(text, stops),
        confidence=round(sure * min(1.0, len(words) / _SURE), 3),
    )


def _language(text: str) -> tuple[str, float]:
    """Return the likeliest language and its probability; '' where that says little."""
    language, probability = _identifier().classify(text)
    return (str(language) if probability >= _LIKELY else ""), float(probability)


def _entities(text: str, stops: frozenset[str]) -> tuple[str, ...]:
    """Return addresses, dates, amounts and names, the most frequent first."""
    found = Counter(match.group() for match in _FIXED.finditer(text))
    rest = _FIXED.sub(" . ", text)
    names = (match.group().removesuffix("'s") for match in _NAME.finditer(rest))
    found.update(name for name in names if name.casefold() not in stops and len(name) > 1)
    return tuple(name for name, _ in found.most_common(MOST_ENTITIES))


def _topics(text: str, stops: frozenset[str]) -> tuple[str, ...]:
    """Return phrases between stop words, weighed by how their words keep company.

    Source:
        Rose et al., 2010 (RAKE), phrases of at most three words.
    """
    phrases = [phrase for part in _BREAK.split(text.casefold()) for phrase in _runs(part, stops)]
    frequency: Counter[str] = Counter()
    degree: Counter[str] = Counter()
    for phrase in phrases:
        for word in phrase:
            frequency[word] += 1
            degree[word] += len(phrase)
    weights = {
        " ".join(phrase): sum(degree[word] / frequency[word] for word in phrase) * count
        for phrase, count in Counter(phrases).items()
    }
    ranked = sorted(weights, key=lambda phrase: (-weights[phrase], phrase))
    return tuple(ranked[:MOST_TOPICS])


def _runs(part: str, stops: frozenset[str]) -> Iterable[tuple[str, ...]]:
    run: list[str] = []
    for word in [*_WORD.findall(part), ""]:
        if word and word not in stops and len(word) > 2:
            run.append(word)
        elif run:
            if len(run) <= 3:
                yield tuple(run)
            run = []


@cache
def _identifier() -> Any:
    # Its model takes half a second to load.
    from py3langid import langid  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

    library: Any = langid
    return library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)


@cache
def _stops(language: str) -> frozenset[str]:
    import stopwordsiso  # noqa: PLC0415 - as above

    known: Any = stopwordsiso
    return frozenset(known.stopwords(language if known.has_lang(language) else "en"))
