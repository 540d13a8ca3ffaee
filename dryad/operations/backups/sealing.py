"""Seal and open one part: zstd, then age, as a stream whose memory does not grow with the data."""

import hashlib
from dataclasses import dataclass
from typing import Any

from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from dryad.foundation.errors import Corrupt, LimitExceeded, Refused
from dryad.operations.backups import age
from dryad.operations.backups.age import NoKeyFits, Sink, Source
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.manifest import Part

_LEVEL = 3
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Sealed:
    """Sizes and digests of both sides of a seal."""

    plain_bytes: int
    plain_sha256: str
    stored_bytes: int
    stored_sha256: str


class _Counted:
    """Counts and digests what passes; both ends at once, so it can stand on either side."""

    def __init__(self, *, source: Source | None = None, sink: Sink | None = None) -> None:
        self._source, self._sink = source, sink
        self._sha = hashlib.sha256()
        self.bytes = 0
        self.failure: OSError | None = None

    @property
    def sha256(self) -> str:
        return self._sha.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        assert self._source is not None
        try:
            data = self._source.read(size)
        except OSError as error:
            self.failure = error  # age would hide it
            raise
        self._note(data)
        return data

    def write(self, data: bytes, /) -> int:
        try:
            if self._sink is not None:
                self._sink.write(data)
        except OSError as error:
            self.failure = error
            raise
        self._note(data)
        return len(data)

    def flush(self) -> None:
        """Age asks for it at the end; whoever owns the sink flushes it."""

    def _note(self, data: bytes) -> None:
        self._sha.update(data)
        self.bytes += len(data)


def seal(source: Source, sink: Sink, key: BackupKey) -> Sealed:
    """Read `source` to its end and write it sealed.

    Raises:
        OSError: either side failed.
    """
    plain, stored = _Counted(source=source), _Counted(sink=sink)
    packed: Any = ZstdCompressor(level=_LEVEL).stream_reader(plain, read_size=_CHUNK)  # pyright: ignore[reportArgumentType] - it reads
    try:
        age.encrypt(packed, stored, key.identity)
    except OSError as error:
        raise plain.failure or stored.failure or error from error
    return Sealed(plain.bytes, plain.sha256, stored.bytes, stored.sha256)


def unseal(source: Source, sink: Sink | None, part: Part, key: BackupKey, *, where: str) -> None:
    """Write the open content of a part to `sink` (None: only look), and prove it is the part.

    What was written before an error is raised is not to be used.

    Raises:
        Corrupt: the stored bytes are truncated or were changed (bit rot).
        Refused: they are as they were written, but sealed for another key.
        OSError: either side failed.
    """
    stored, plain = _Counted(source=source), _Counted(sink=_Bounded(sink, part))
    opened: Any = ZstdDecompressor().stream_writer(plain)  # pyright: ignore[reportArgumentType] - it writes and flushes
    failure: Exception | None = None
    try:
        age.decrypt(stored, opened, key.identity)
        opened.flush()
    except (NoKeyFits, ZstdError, OSError, LimitExceeded) as error:
        failure = error
    if (broken := plain.failure or stored.failure) is not None:
        raise broken
    while stored.read(_CHUNK):  # to the end: its size and digest say what is wrong
        pass
    _refuse_changed(stored, part, where)
    if isinstance(failure, NoKeyFits):
        raise Refused(
            f"{where}: the file is whole, but sealed for another key",
            "Use the keys exported by the installation that made it.",
        ) from failure
    if failure is not None or (plain.bytes, plain.sha256) != (part.plain_bytes, part.plain_sha256):
        raise Corrupt(f"{where}: what is inside is not what the manifest names") from failure


class _Bounded:
    """Refuses to open more than the manifest says: a forged file must not fill the disk."""

    def __init__(self, sink: Sink | None, part: Part) -> None:
        self._sink, self._left = sink, part.plain_bytes

    def write(self, data: bytes, /) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise LimitExceeded("the part holds more than its manifest says")
        if self._sink is not None:
            self._sink.write(data)


def _refuse_changed(stored: _Counted, part: Part, where: str) -> None:
    if stored.bytes < part.stored_bytes:
        raise Corrupt(
            f"{where}: truncated, {stored.bytes:,} of {part.stored_bytes:,} bytes are there"
        )
    if stored.bytes > part.stored_bytes:
        raise Corrupt(f"{where}: {stored.bytes - part.stored_bytes:,} bytes were added at its end")
    if stored.sha256 != part.stored_sha256:
        raise Corrupt(f"{where}: bit rot, its digest is not the one in the manifest")
