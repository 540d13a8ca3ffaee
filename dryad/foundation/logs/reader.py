"""Read logs from their end, over rotated files, without ever loading a whole one."""

import heapq
import os
import socket
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from dryad.foundation.errors import InvalidRequest
from dryad.foundation.logs.files import ACCESS, APP, open_all
from dryad.foundation.logs.writer import LEVELS, stamp

MAX_LIMIT = 1000
_BLOCK = 64 * 1024
_STALE_LINES = 1000
"""So many lines in a row older than asked for end the search in a file: clocks may be set back."""


@dataclass(frozen=True)
class Filter:
    """Which lines are wanted; None and empty ask for nothing."""

    since: datetime | None = None
    until: datetime | None = None
    """Exclusive: give the oldest timestamp of a page to get the next page."""
    level: str | None = None
    """The least level."""
    component: str | None = None
    event: str | None = None
    code: str | None = None
    tenant: str | None = None
    run: str | None = None
    task: str | None = None
    agent: str | None = None
    trace: str | None = None
    statuses: frozenset[int] = frozenset()
    """HTTP statuses of access lines."""
    slower: timedelta | None = None
    """Only lines with a longer `duration_ms`."""
    limit: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidRequest(f"the limit must be 1 to {MAX_LIMIT}, got {self.limit}")
        if self.level is not None and self.level not in LEVELS:
            raise InvalidRequest(
                f"unknown level {self.level[:40]!r}", f"One of: {', '.join(LEVELS)}."
            )

    def exactly(self) -> dict[str, str]:
        """Return the keys of a line that must have one value."""
        wanted = {
            "component": self.component,
            "event": self.event,
            "code": self.code,
            "tenant_id": self.tenant,
            "run_id": self.run,
            "task_id": self.task,
            "agent_id": self.agent,
            "trace_id": self.trace,
        }
        return {key: value for key, value in wanted.items() if value is not None}


@dataclass(frozen=True)
class Page:
    """What was found, newest first."""

    entries: list[dict[str, Any]]
    hosts: list[str]
    """The machines whose lines were searched: each keeps its own files."""
    complete: bool
    """False: there may be older ones, beyond the limit or the bytes searched."""


@dataclass(frozen=True)
class Counts:
    """How many lines there are of each value, most frequent first."""

    values: dict[str, int]
    hosts: list[str]
    complete: bool


@dataclass
class _Search:
    """One pass over the files; ends when nothing is left or the budget is spent."""

    filter: Filter
    budget: int
    hosts: set[str] = field(default_factory=lambda: {socket.gethostname()})
    exhausted: bool = True

    def __post_init__(self) -> None:
        self.exact = self.filter.exactly()
        # Cheap first look: a wanted key and value stand in the line as orjson writes them.
        self.needles = [orjson.dumps({k: v})[1:-1] for k, v in self.exact.items()]
        self.since = None if self.filter.since is None else _stamp(self.filter.since)
        self.until = None if self.filter.until is None else _stamp(self.filter.until)
        self.least = LEVELS[self.filter.level] if self.filter.level else 0

    def run(self, directory: Path) -> Iterator[dict[str, Any]]:
        with ExitStack() as opened:
            logs: list[Iterator[dict[str, Any]]] = []
            for name in (APP, ACCESS):
                files = open_all(directory, name)
                for file in files:
                    opened.callback(os.close, file)
                logs.append(self._matching(files))
            yield from heapq.merge(*logs, key=lambda entry: entry["timestamp"], reverse=True)

    def _matching(self, files: Iterable[int]) -> Iterator[dict[str, Any]]:
        for file in files:
            stale = 0
            for line in _backwards(file):
                self.budget -= len(line) + 1
                if self.budget < 0:
                    self.exhausted = False
                    return
                if self.since is not None and _time_of(line) < self.since:
                    stale += 1
                    if stale >= _STALE_LINES:
                        return
                    continue
                stale = 0
                if entry := self._accept(line):
                    yield entry

    def _accept(self, line: bytes) -> dict[str, Any] | None:
        if not all(needle in line for needle in self.needles):
            return None
        try:
            entry: dict[str, Any] = orjson.loads(line)
            entry["timestamp"]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return None  # no line of ours, or one the disk had no room for
        self.hosts.add(str(entry.get("host", "")))
        return entry if self._wanted(entry) else None

    def _wanted(self, entry: dict[str, Any]) -> bool:
        wanted = self.filter
        if any(entry.get(key) != value for key, value in self.exact.items()):
            return False
        if self.until is not None and entry["timestamp"] >= self.until:
            return False
        if LEVELS.get(entry.get("level", ""), 0) < self.least:
            return False
        if wanted.statuses and entry.get("status") not in wanted.statuses:
            return False
        if wanted.slower is None:
            return True
        duration = entry.get("duration_ms")
        return isinstance(duration, (int, float)) and timedelta(milliseconds=duration) > (
            wanted.slower
        )


def read(directory: Path, wanted: Filter, *, search_bytes: int = 500_000_000) -> Page:
    """Return up to `wanted.limit` lines of application and access logs, newest first.

    Args:
        directory: Where the logs are; a missing one has no lines.
        wanted: Which lines.
        search_bytes: Stop after so many bytes of logs and say that the page is not complete.
    """
    search = _Search(wanted, search_bytes)
    entries: list[dict[str, Any]] = []
    for entry in search.run(directory):
        if len(entries) == wanted.limit:
            search.exhausted = False
            break
        entries.append(entry)
    entries.sort(key=lambda entry: entry["timestamp"], reverse=True)
    return Page(entries, sorted(search.hosts), search.exhausted)


def count_by(
    directory: Path, wanted: Filter, key: str, *, search_bytes: int = 500_000_000
) -> Counts:
    """Count the lines `wanted` asks for, whatever its limit, by the value of one of their keys.

    Args:
        directory: Where the logs are; a missing one has no lines.
        wanted: Which lines.
        key: Any key of a line: `code`, `event`, `status`, …; lines without it count under ''.
        search_bytes: Stop after so many bytes of logs and say that the counts are not complete.
    """
    search = _Search(wanted, search_bytes)
    counter = Counter(str(entry.get(key, "")) for entry in search.run(directory))
    return Counts(dict(counter.most_common()), sorted(search.hosts), search.exhausted)


def _backwards(file: int) -> Generator[bytes]:
    """Yield the lines of a file from the last to the first, without their ends."""
    position, rest = os.fstat(file).st_size, b""
    while position:
        size = min(_BLOCK, position)
        position -= size
        first, *lines = (os.pread(file, size, position) + rest).split(b"\n")
        rest = first
        yield from (line for line in reversed(lines) if line)
    if rest:
        yield rest


def _time_of(line: bytes) -> str:
    """The timestamp is the first value of a line, 27 characters wide."""
    return line[14:41].decode(errors="replace")


def _stamp(time: datetime) -> str:
    if time.tzinfo is None:
        raise InvalidRequest("a time needs its zone", "Add Z or an offset such as +02:00.")
    return stamp(time)
