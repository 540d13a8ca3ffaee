"""The WAL archive of a PostgreSQL cluster: which segments are there, and how far they reach."""

import os
import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dryad.foundation.errors import Refused, Unavailable
from dryad.operations.backups.postgres import tool

_NAME = re.compile(r"[0-9A-F]{24}")
_OLD = re.compile(r"[0-9A-F]{24}(\.[0-9A-F]{8}\.backup|\.partial|\.new)?")
"""Segments and what lies beside them; never a timeline's history, which is small and for ever."""
_COMMIT = re.compile(r"desc: (?:COMMIT|ABORT)\S* (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC")
_SHOWN = 5
_LOGICAL_FILE = 1 << 32


@dataclass(frozen=True)
class Reach:
    """How far the archive goes without a gap."""

    until: datetime | None
    """The newest commit before the first gap; None: nothing was committed since the base."""
    missing: tuple[str, ...]
    """Segments that are missing, or too short, between the ones that are there."""

    @property
    def told(self) -> str:
        """What is there and what is not, in words."""
        there = (
            "it holds no commit"
            if self.until is None
            else f"it reaches {self.until:%Y-%m-%d %H:%M:%S.%f} UTC"
        )
        if not self.missing:
            return there
        names, more = ", ".join(self.missing[:_SHOWN]), len(self.missing) - _SHOWN
        return f"{there}; missing: {names}" + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class Segments:
    """Files of the archive."""

    names: tuple[str, ...] = ()
    """Oldest first."""
    bytes: int = 0


@dataclass(frozen=True)
class WalArchive:
    """A directory into which the cluster's `archive_command` copies each finished segment."""

    directory: Path
    tools: Path | None

    @property
    def configuration(self) -> tuple[str, str]:
        """The two lines for `postgresql.conf`; a copy that was cut off is never taken for whole."""
        place = f"{self.directory}/%f"
        copy = (
            f"test ! -e {place} && cp %p {place}.new && sync {place}.new && mv {place}.new {place}"
        )
        return "archive_mode = on", f"archive_command = 'cmp -s %p {place} || ({copy})'"

    def holds(self, segment: str) -> bool:
        """Whether a segment is there."""
        return (self.directory / segment).is_file()

    def reach(self, first: str) -> Reach:
        """Follow the segments from the one a base backup needs first.

        Raises:
            Unavailable: the archive cannot be read.
        """
        with self._told("read"):
            sizes = {
                path.name: path.stat().st_size
                for path in self.directory.iterdir()
                if _NAME.fullmatch(path.name) and path.name[8:] >= first[8:]
            }
        whole = max(sizes.values(), default=0)
        there = {_number(name, whole): name for name, size in sizes.items() if size == whole > 0}
        if not there:
            return Reach(None, (first,))
        begin, end = _number(first, whole), max(there)
        missing = [number for number in range(begin, end + 1) if number not in there]
        stop = missing[0] if missing else end + 1
        until = next(
            (
                found
                for number in range(stop - 1, begin - 1, -1)
                if (found := self._newest(there[number]))
            ),
            None,
        )
        return Reach(until, tuple(_name(number, first[:8], whole) for number in missing))

    def require(self, first: str, moment: datetime) -> None:
        """See that everything from a base backup to a moment is there.

        Raises:
            Refused: something is missing; the message names it.
            Unavailable: the archive cannot be read.
        """
        reach = self.reach(first)
        if reach.until is None or reach.until <= moment:
            raise Refused(
                f"the WAL archive does not lead to {moment:%Y-%m-%d %H:%M:%S.%f} UTC: {reach.told}",
                "Nothing was changed. Put the missing segments back, or name an earlier moment.",
            )

    def before(self, first: str) -> Segments:
        """Return what is older than a segment, whatever its timeline.

        Raises:
            Unavailable: the archive cannot be read.
        """
        with self._told("read"):
            sizes = {
                path.name: path.stat().st_size
                for path in self.directory.iterdir()
                if _OLD.fullmatch(path.name) and path.name[8:24] < first[8:]
            }
        return Segments(tuple(sorted(sizes, key=lambda name: name[8:])), sum(sizes.values()))

    def remove(self, segments: Segments) -> None:
        """Remove files, oldest first, so that what is left has no gap; one that is gone is as good.

        Raises:
            Unavailable: one cannot be removed.
        """
        with self._told("pruned"):
            for name in segments.names:
                (self.directory / name).unlink(missing_ok=True)

    @contextmanager
    def _told(self, done: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(
                f"the WAL archive cannot be {done}: {error}",
                "See that DRYAD_WAL_ARCHIVE is mounted, and that we may read and write there.",
            ) from error

    def _newest(self, segment: str) -> datetime | None:
        """Return the newest commit of one segment; its end may be cut in the middle of a record."""
        done = subprocess.run(
            [tool("pg_waldump", self.tools), "--rmgr=Transaction", str(self.directory / segment)],
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
            capture_output=True,
            text=True,
            check=False,
        )
        times = [
            datetime.fromisoformat(text).replace(tzinfo=UTC)
            for text in _COMMIT.findall(done.stdout)
        ]
        return max(times, default=None)


def _number(name: str, segment_bytes: int) -> int:
    return int(name[8:16], 16) * (_LOGICAL_FILE // segment_bytes) + int(name[16:], 16)


def _name(number: int, timeline: str, segment_bytes: int) -> str:
    high, low = divmod(number, _LOGICAL_FILE // segment_bytes)
    return f"{timeline}{high:08X}{low:08X}"
