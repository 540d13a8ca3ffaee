"""Find the sum somebody asks for in a text, and write the program that does it."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dryad.execution import arithmetic
from dryad.foundation.errors import InvalidRequest


@dataclass(frozen=True)
class Sum:
    """Something to compute: `program` prints it; `expression` is there when it is arithmetic."""

    program: str
    expression: str = ""


_STATISTICS: Mapping[str, tuple[str, str]] = {
    "mean": (r"means?|averages?", "statistics.fmean(numbers)"),
    "median": (r"medians?", "statistics.median(numbers)"),
    "standard deviation": (r"standard deviations?|stdev", "statistics.stdev(numbers)"),
    "variance": (r"variances?", "statistics.variance(numbers)"),
    "sum": (r"sums?|totals?|add up", "sum(numbers)"),
    "minimum": (r"min|minimum|lowest|smallest", "min(numbers)"),
    "maximum": (r"max|maximum|highest|largest|biggest", "max(numbers)"),
}
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w]|\.\d)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_EXPRESSION = re.compile(r"(?:[-+(]\s*)*\d[\d\s.+\-*/%^()×÷·]*[\d)]")
_ASKED = re.compile(
    r"\b(?:calculate|compute|evaluate|how much is|what is|what's)\b|=", re.IGNORECASE
)
_SPACED = re.compile(r"\s[-+*/%^×÷·]+\s")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|percent)\s+of\s+(\d+(?:\.\d+)?)", re.IGNORECASE)


def find_sum(question: str, context: str = "") -> Sum | None:
    """Return what `question` asks to compute, or None.

    A statistic is taken over the numbers of the question, else over the column of a CSV table
    whose name the question has (or the only numeric one), else over the numbers of `context`.
    """
    wanted = [
        (name, call)
        for name, (words, call) in _STATISTICS.items()
        if re.search(rf"\b(?:{words})\b", question, re.IGNORECASE)
    ]
    if wanted and (numbers := _numbers_for(question, context)):
        lines = ["import statistics", f"numbers = {numbers}"]
        lines += [f'print("{name} =", {call})' for name, call in wanted]
        return Sum("\n".join(lines))
    expression = _expression(question)
    return Sum(f"print({expression})", expression) if expression else None


def _numbers_for(question: str, context: str) -> list[float | int]:
    whole = f"{question}\n{context}"
    column = _column(whole, question)
    if column:
        return column
    for text in (question, context):
        numbers = [_number(match) for match in _NUMBER.findall(_THOUSANDS.sub("", text))]
        if len(numbers) >= 2:
            return numbers
    return []


def _number(text: str) -> float | int:
    return float(text) if "." in text else int(text)


def _column(text: str, question: str) -> list[float | int]:
    """Return the column of the first table in `text` that the question means."""
    rows = _table(text.splitlines())
    if not rows:
        return []
    header, body = rows[0], rows[1:]
    columns: dict[str, list[float | int]] = {}
    for place, name in enumerate(header):
        cells = [row[place].strip() for row in body]
        if all(_NUMBER.fullmatch(cell) for cell in cells):
            columns[name.strip().lower()] = [_number(cell) for cell in cells]
    named = [
        name
        for name in columns
        if re.search(rf"\b{re.escape(name)}\b", question.split("\n", maxsplit=1)[0], re.IGNORECASE)
    ]
    if len(named) == 1:
        return columns[named[0]]
    return next(iter(columns.values())) if len(columns) == 1 else []


def _table(lines: Sequence[str]) -> list[list[str]]:
    """Return the first block of at least three lines with equally many commas, as rows."""
    start = 0
    while start < len(lines):
        commas = lines[start].count(",")
        stop = start + 1
        while stop < len(lines) and commas and lines[stop].count(",") == commas:
            stop += 1
        header = not any(map(_NUMBER.fullmatch, lines[start].split(",")))
        if commas and stop - start >= 3 and header:
            return list(csv.reader(io.StringIO("\n".join(lines[start:stop]))))
        start = stop
    return []


def _expression(question: str) -> str:
    """Return the longest arithmetic in the question that has a value, or ''."""
    text = _DATE.sub(" ", _THOUSANDS.sub("", question))
    text = _PERCENT.sub(r"\1 / 100 * \2", text)
    asked = bool(_ASKED.search(question))
    found = sorted((match.strip() for match in _EXPRESSION.findall(text)), key=len, reverse=True)
    for candidate in found:
        expression = candidate.replace("^", "**").replace("÷", "/")
        expression = re.sub(r"[×·]", "*", expression)
        calculates = re.search(r"[\d)]\s*[-+*/%]", expression)
        if not calculates or not (asked or _SPACED.search(candidate)):
            continue
        try:
            arithmetic.evaluate(expression)
        except InvalidRequest:
            continue
        return " ".join(expression.split())
    return ""
