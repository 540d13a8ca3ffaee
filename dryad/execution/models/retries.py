"""When a model that is down is asked again: later, and never so often that it does harm."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 8.0


@dataclass
class RetryBudget:
    """Retries all models of a process may make together: some, and a share of their requests.

    While a provider is down for everybody, every request would else become several, just then. It
    holds at most `spare` retries; each request adds `share` of one.

    Source:
        "Handling Overload", Site Reliability Engineering, O'Reilly 2016.
    """

    spare: float = 10.0
    share: float = 0.1
    _left: float = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._left = self.spare

    def requested(self) -> None:
        """Count a request."""
        with self._lock:
            self._left = min(self.spare, self._left + self.share)

    def take(self) -> bool:
        """Take one retry, if there is one left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


def pause(attempt: int, chance: float, *, asked_for: float = 0.0) -> float:
    """Return how long to wait before another attempt, in seconds.

    Args:
        attempt: How many attempts failed, from 1; each doubles the longest wait, up to 8 s.
        chance: A random number in [0, 1): clients that failed together must not return together.
        asked_for: The least the server wants, in seconds.
    """
    longest = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** (attempt - 1))
    return asked_for + chance * longest


def retry_after(headers: Mapping[str, str] | None) -> float:
    """Return how many seconds a server asks to be left alone; 0 when it does not say."""
    said = (headers or {}).get("retry-after", "").strip()
    return float(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0.0
