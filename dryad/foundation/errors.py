"""Everything DRYAD raises on purpose, grouped by what the caller should do.

DryadError
├── InvalidRequest   fix the request; never retry
│   └── Conflict     the request contradicts what is already there
├── NotFound         name something that exists
├── Unauthenticated  show who you are
├── Refused          a rule or person said no; never retry
│   └── LimitExceeded
├── Unavailable      something outside is down; a retry may heal it
├── Superseded       another process took this run over; stop, write nothing more
└── Corrupt          stop; call someone
"""

from typing import ClassVar


class DryadError(Exception):
    """The root of what DRYAD raises on purpose.

    The message says what is wrong, in one sentence; `next_step` what a person can do about it.
    Errors cross process borders, so every argument stays in `args`.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1
    default_next_step: ClassVar[str] = "Run `dryad logs --level ERROR` and read the newest line."

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message, next_step)

    @property
    def message(self) -> str:
        """What is wrong, in one sentence."""
        return str(self.args[0])

    @property
    def next_step(self) -> str:
        """What a person can do about it."""
        return str(self.args[1]) or self.default_next_step

    def __str__(self) -> str:
        return self.message


class InvalidRequest(DryadError):
    """The request itself is wrong. Fix it; a retry cannot help."""

    code = "invalid_request"
    http_status = 400
    exit_status = 2
    default_next_step = "Correct the request and send it again."


class Conflict(InvalidRequest):
    """The request contradicts what is already recorded."""

    code = "conflict"
    http_status = 409
    default_next_step = "Look at what is recorded already; use a new name or key for something new."


class NotFound(DryadError):
    """Nothing of that name is visible to the caller."""

    code = "not_found"
    http_status = 404
    default_next_step = "List what exists, and check the tenant."


class Unauthenticated(DryadError):
    """No valid key came with the request."""

    code = "unauthenticated"
    http_status = 401
    default_next_step = "Send `Authorization: Bearer dk_live_…`; `dryad keys create` makes a key."


class Refused(DryadError):
    """A rule or a person said no. Never retry."""

    code = "refused"
    http_status = 403
    default_next_step = "Ask someone with the right to allow it; `dryad audit export` shows why."


class LimitExceeded(Refused):
    """A size, time, count or budget would be exceeded."""

    code = "limit_exceeded"
    http_status = 429
    default_next_step = "Ask for less, or raise the limit named in the message."


class Unavailable(DryadError):
    """Something outside this process is down or too slow. A retry may heal it."""

    code = "unavailable"
    http_status = 503
    default_next_step = "Run `dryad health`; try again when it is healthy."


class Superseded(DryadError):
    """A newer attempt owns this run. The caller must stop and write nothing more."""

    code = "superseded"
    http_status = 409
    default_next_step = "Nothing to do: another process carries the run on."


class Corrupt(DryadError):
    """Stored data contradicts itself. Stop and call someone."""

    code = "corrupt"
    http_status = 500
    default_next_step = "Stop writing, keep the files, and run `dryad audit verify`."
