"""Whether this installation could go back to any moment: asked of the cluster, by what it does."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dryad.foundation.errors import DryadError, Refused, Unavailable
from dryad.operations.backups.manifest import age_in_words
from dryad.operations.backups.postgres import tool
from dryad.operations.backups.sources import Stores, is_sqlite
from dryad.operations.moments.archive import WalArchive
from dryad.operations.moments.base import Bases
from dryad.operations.moments.pruning import Moments
from dryad.operations.moments.server import Server

_ARRIVES_SECONDS = 60
_TOOLS = ("pg_basebackup", "pg_waldump", "postgres")


@dataclass(frozen=True)
class Line:
    """One thing that must hold."""

    what: str
    found: str
    wanted: str = ""
    """What to do about it; '': it holds."""


def check(moments: Moments) -> list[Line]:
    """Look at everything that going back to a moment needs.

    Raises:
        Refused: the ledger is not in PostgreSQL.
        Unavailable: the server does not answer.
    """
    bases, archive = moments.bases, moments.archive
    stores, server = bases.stores, bases.server
    require_postgres(stores)
    lines = [_one_cluster(stores, server), *_configured(server), _tools(stores.postgres_tools)]
    if archive is None:
        return [*lines, Line("archive", "not set", "set DRYAD_WAL_ARCHIVE to its directory")]
    if all(not line.wanted for line in lines):
        lines.append(_guarded("archive", lambda: _arrives(server, archive)))
    return [
        *lines,
        _guarded("continuity", lambda: _continuous(bases, archive)),
        _guarded("window", lambda: _window(moments)),
    ]


def require_postgres(stores: Stores) -> None:
    """See that there is a WAL to archive; raises `Refused`."""
    if is_sqlite(stores.database):
        raise Refused(
            "the ledger is in SQLite, which has no archive of what was written",
            "Restore a set; or move to PostgreSQL to go back to any moment.",
        )


def _one_cluster(stores: Stores, server: Server) -> Line:
    prefect = stores.prefect_database
    if prefect is None:
        return Line("one cluster", "the ledger; the Prefect server is another's")
    other = None if is_sqlite(prefect) else Server(prefect, stores.postgres_tools)
    if other is None or other.identity() != server.identity():
        wanted = "put both databases into one cluster: they go back together or not at all"
        return Line("one cluster", "the Prefect database is elsewhere", wanted)
    return Line("one cluster", "both databases")


def _configured(server: Server) -> list[Line]:
    level, mode = server.setting("wal_level"), server.setting("archive_mode")
    command = server.setting("archive_command").replace("(disabled)", "")
    command = command or server.setting("archive_library")
    may = server.may_replicate()
    return [
        Line("wal_level", level, "" if level in {"replica", "logical"} else "set it to replica"),
        Line("archive_mode", mode, "" if mode in {"on", "always"} else "set it to on and restart"),
        Line("archive_command", command, "" if command else "set it as below and reload"),
        Line(
            "role",
            f"{server.user} may {'' if may else 'not '}take base backups",
            "" if may else f"ALTER ROLE {server.user} REPLICATION",
        ),
    ]


def _tools(directory: Path | None) -> Line:
    try:
        for name in _TOOLS:
            tool(name, directory)
    except Unavailable as error:
        return Line("programs", error.message, error.next_step)
    return Line("programs", ", ".join(_TOOLS))


def _arrives(server: Server, archive: WalArchive) -> Line:
    """Let the server finish a segment, and see it arrive."""
    segment = server.close_segment()
    return (
        Line("archive", f"segment {segment} arrived")
        if arrived(archive, segment)
        else Line(
            "archive",
            f"segment {segment} did not arrive in {_ARRIVES_SECONDS} s",
            "see pg_stat_archiver and the server's log; DRYAD_WAL_ARCHIVE must be the same place",
        )
    )


def arrived(archive: WalArchive, segment: str, *, seconds: float = _ARRIVES_SECONDS) -> bool:
    """Wait for a segment, for so long; whether it came."""
    deadline = time.monotonic() + seconds
    while not archive.holds(segment):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _continuous(bases: Bases, archive: WalArchive) -> Line:
    listed = bases.listed()
    if not listed:
        return Line("continuity", "there is no base backup", "dryad backup base")
    reach = archive.reach(listed[-1].first)
    found = f"since {listed[-1].manifest.finished:%Y-%m-%d %H:%M:%S} UTC: {reach.told}"
    wanted = "put them back, or make a new base: dryad backup base" if reach.missing else ""
    return Line("continuity", found, wanted)


def _window(moments: Moments) -> Line:
    """Say how far back there is a way, and what the retention lets go."""
    outdated, wanted = moments.outdated(), age_in_words(moments.window)
    found = f"every moment of {wanted} is wanted"
    if outdated.staying:
        newest, oldest = (outdated.staying[at].manifest.finished for at in (0, -1))
        found += f"; bases reach from {oldest:%Y-%m-%d %H:%M} to {newest:%Y-%m-%d %H:%M} UTC"
    if outdated.anything:
        count, size = len(outdated.segments.names), outdated.segments.bytes / 1e6
        found += (
            f"; {len(outdated.bases)} bases and {count} WAL files ({size:,.0f} MB) may go: "
            "dryad backup prune"
        )
    return Line("window", found)


def _guarded(what: str, look: Callable[[], Line]) -> Line:
    try:
        return look()
    except DryadError as error:
        return Line(what, error.message, error.next_step)
