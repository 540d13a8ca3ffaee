"""Time as an argument: nothing below the edges asks the wall clock by itself."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present as an aware UTC datetime."""


def utc_now() -> datetime:
    """Return the present, aware, in UTC, to the microsecond."""
    return datetime.now(UTC)
