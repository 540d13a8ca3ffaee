"""Which of the passages an agent was shown its answer cites."""

import re
from collections.abc import Sequence

from dryad.execution.episodes import Source

_CITATION = re.compile(r"\[(\d{1,4})\]")


def cited(answer: str, sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return the sources whose `[number]` stands in the answer, by number; others are ignored."""
    numbers = {int(number) for number in _CITATION.findall(answer)}
    return tuple(source for source in sources if source.number in numbers)
