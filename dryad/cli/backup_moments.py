"""`dryad backup base` and `check-pitr`: what a restore to any moment needs, with PostgreSQL."""

from typing import TYPE_CHECKING, Any

import typer

from dryad.cli.local import services
from dryad.cli.output import Json, print_fields, print_rows, print_text, say

if TYPE_CHECKING:
    from dryad.operations.moments.base import Base
    from dryad.operations.moments.pruning import Moments, Outdated


def base(*, as_json: Json = False) -> None:
    """Keep a base backup of the whole PostgreSQL cluster, for restores to a moment after it."""
    from dryad.operations.moments.check import require_postgres  # noqa: PLC0415 - heavy

    with services() as opened:
        bases = opened.moments.bases
        require_postgres(bases.stores)
        made = bases.create()
    print_fields(
        {
            "base": made.manifest.id,
            "first_segment": made.first,
            "sealed_bytes": made.manifest.stored_bytes,
            "from": made.manifest.finished.isoformat(),
        },
        as_json=as_json,
    )
    say("`dryad backup prune` keeps the WAL from the first segment on for as long as it is needed")


def check_pitr(*, as_json: Json = False) -> None:
    """See whether a restore to any moment would work; exit 1 when not, with the lines to set."""
    from dryad.operations.moments.check import check  # noqa: PLC0415 - heavy: not for help

    with services() as opened:
        archive, lines = opened.moments.archive, check(opened.moments)
    rows = [{"what": one.what, "found": one.found, "do": one.wanted} for one in lines]
    print_rows(rows, ("what", "found", "do"), as_json=as_json)
    if not any(one.wanted for one in lines):
        say("any moment since the oldest base backup can be restored")
        return
    if archive is not None and not as_json:
        for line in archive.configuration:
            print_text(line)
        say("the two lines belong into postgresql.conf; archive_mode needs a restart")
    raise typer.Exit(1)


def base_rows(moments: "Moments") -> list[dict[str, Any]]:
    """Return the base backups as rows of the list of sets; the server need not answer."""
    return [
        _row(one) | {"state": "kept", "why": "for every moment after it that the WAL reaches"}
        for one in moments.bases.listed()
    ]


def going_rows(outdated: "Outdated") -> list[dict[str, Any]]:
    """Return what no moment of the window needs, as rows of the list of what goes."""
    rows = [_row(one) | {"state": "outdated"} for one in outdated.bases]
    names = outdated.segments.names
    if names:
        rows.append(
            {
                "set": f"{len(names)} WAL files, {names[0]} to {names[-1]}",
                "state": "outdated",
                "kind": "wal",
                "sealed_mb": round(outdated.segments.bytes / 1e6, 2),
            }
        )
    return rows


def _row(one: "Base") -> dict[str, Any]:
    return {
        "set": one.manifest.id,
        "kind": "base",
        "started": f"{one.manifest.started:%Y-%m-%dT%H:%M:%SZ}",
        "sealed_mb": round(one.manifest.stored_bytes / 1e6, 2),
        "targets": [one.target.name],
    }
