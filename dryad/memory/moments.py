"""Say beside a relative date which day was meant: `yesterday` is `yesterday (2026-05-03)`."""

import re
from collections.abc import Callable
from datetime import date, timedelta

_NUMBERS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_COUNT = rf"(\d{{1,3}}|{'|'.join(_NUMBERS)})"
_UNIT = r"(day|week|month|year)s?"
_NEAR = {
    **dict.fromkeys(("today", "tonight", "this morning", "this afternoon", "this evening"), 0),
    **dict.fromkeys(("yesterday", "last night"), -1),
    "the day before yesterday": -2,
    "tomorrow": 1,
    "the day after tomorrow": 2,
}


def resolved(text: str, said: date) -> str:
    """Return `text` with the date in brackets behind each relative one.

    Args:
        text: What was said, in English.
        said: The day it was said.

    Returns:
        The same words; days as `2026-05-03`, weeks as `2026-W18`, months as `2026-04`, years as
        `2025`. What lies outside the calendar is left as it is.
    """

    def told(match: re.Match[str]) -> str:
        for pattern, meant in _MEANINGS:
            if found := re.fullmatch(pattern, match[0], re.IGNORECASE):
                try:
                    return f"{match[0]} ({meant(found, said)})"
                except (ValueError, OverflowError):
                    return match[0]
        return match[0]

    return _ANY.sub(told, text)


def _near(match: re.Match[str], said: date) -> str:
    words = " ".join(match[0].lower().split())
    return (said + timedelta(days=_NEAR[words])).isoformat()


def _counted(match: re.Match[str], said: date) -> str:
    if match[1]:  # in three days
        return _moved(said, _number(match[1]), match[2].lower())
    return _moved(said, -_number(match[3]), match[4].lower())


def _neighbour(match: re.Match[str], said: date) -> str:
    steps = -1 if match[1].lower() == "last" else 1
    unit = match[2].lower()
    if unit in _DAYS:
        ahead = (_DAYS.index(unit) - said.weekday()) % 7
        days = ahead or 7 if steps > 0 else (ahead - 7 if ahead else -7)
        return (said + timedelta(days=days)).isoformat()
    return _moved(said, steps, unit, exact=False)


def _moved(said: date, count: int, unit: str, *, exact: bool = True) -> str:
    """Return the day, or the week, month or year, so many units away."""
    if unit == "day" or (unit == "week" and exact):
        return (said + timedelta(days=count * (7 if unit == "week" else 1))).isoformat()
    if unit == "week":
        year, week, _ = (said + timedelta(weeks=count)).isocalendar()
        return f"{year}-W{week:02}"
    if unit == "month":
        months = said.year * 12 + said.month - 1 + count
        return f"{date(months // 12, months % 12 + 1, 1):%Y-%m}"
    return f"{date(said.year + count, 1, 1):%Y}"


def _number(word: str) -> int:
    return _NUMBERS.get(word.lower()) or int(word)


_Meaning = Callable[[re.Match[str], date], str]
_MEANINGS: tuple[tuple[str, _Meaning], ...] = (
    ("|".join(words.replace(" ", r"\s+") for words in sorted(_NEAR, key=len, reverse=True)), _near),
    (rf"in\s+{_COUNT}\s+{_UNIT}|{_COUNT}\s+{_UNIT}\s+ago", _counted),
    (rf"(last|next)\s+(week|month|year|{'|'.join(_DAYS)})", _neighbour),
)
_ANY = re.compile(rf"\b(?:{'|'.join(pattern for pattern, _ in _MEANINGS)})\b", re.IGNORECASE)
