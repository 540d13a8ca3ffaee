"""What a server must do to mirror short-term memory."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha1
from typing import NamedTuple, Protocol

from dryad.foundation.ids import TenantId


class Slot(NamedTuple):
    """Where one value lies."""

    tenant: TenantId
    agent: str
    key: str


class Entry(NamedTuple):
    """A value as the ledger holds it."""

    sequence: int
    """Which change wrote it; of two entries of a slot the higher is the newer."""
    body: bytes
    """`{value, provenance}` as JSON."""
    expires: datetime


class Trace(NamedTuple):
    """What tells one entry from another without its body."""

    sequence: int
    digest: str
    """SHA-1 of the body, in hex."""
    expires_ms: int
    """Since 1970."""

    @staticmethod
    def of(entry: Entry) -> "Trace":
        """Return the trace of an entry."""
        told = sha1(entry.body, usedforsecurity=False).hexdigest()
        return Trace(entry.sequence, told, milliseconds(entry.expires))


class Change(NamedTuple):
    """What became of a slot: its entry, or nothing any more."""

    slot: Slot
    sequence: int
    entry: Entry | None


class Copy(NamedTuple):
    """Which copy is meant: the server that holds it, and its generation there."""

    generation: int
    server: str


class RecentMirror(Protocol):
    """Holds a copy of short-term memory; every call names the copy it means.

    Whatever is asked of another server than the copy's raises `Unavailable`: a server that was
    started anew may hold older values than it held before.
    """

    def server(self) -> str:
        """Return what names the running server; another one after each of its starts.

        Raises:
            Unavailable: it does not answer.
        """
        ...

    def read(self, copy: Copy, slot: Slot) -> Entry | None:
        """Return the newest entry, or None: it is not there, fenced, or gone.

        Raises:
            Unavailable: it does not answer, or it is another server.
        """
        ...

    def fence(self, copy: Copy, slot: Slot, token: str) -> None:
        """Answer `read` with None until `publish` brings the token back, at most a minute.

        Raises:
            Unavailable: it does not answer, or it is another server.
        """
        ...

    def publish(self, copy: Copy, changes: Sequence[Change], *, token: str | None = None) -> None:
        """Take over changes; one that is older than what is there changes nothing.

        Args:
            copy: The copy that is meant.
            changes: At most 1,000.
            token: Of the fence that was set before; when it has fallen meanwhile, nothing is
                taken over: it may be too late.

        Raises:
            Unavailable: it does not answer, or it is another server.
        """
        ...

    def held(self, copy: Copy) -> Iterator[tuple[Slot, Trace]]:
        """Yield every slot with a living entry, and the trace of the entry.

        Raises:
            Unavailable: it does not answer.
        """
        ...

    def drop_others(self, copy: Copy) -> None:
        """Remove every other generation.

        Raises:
            Unavailable: it does not answer.
        """
        ...


def milliseconds(time: datetime) -> int:
    """Return a time as mirrors keep it: milliseconds since 1970."""
    return int(time.timestamp() * 1000)
