"""`dryad backup base` and `check-pitr`: what a restore to any moment needs, with PostgreSQL."""

import typer

from dryad.cli.local import services
from dryad.cli.output import Json, print_fields, print_rows, print_text, say


def base(*, as_json: Json = False) -> None:
    """Keep a base backup of the whole PostgreSQL cluster, for restores to a moment after it."""
    from dryad.operations.moments.check import require_postgres  # noqa: PLC0415 - as above
    from dryad.operations.moments.installed import bases_of  # noqa: PLC0415 - heavy: not for help

    with services() as opened:
        bases = bases_of(opened.settings)
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
    say("keep every WAL segment from the first one on: without it no later moment is reached")


def check_pitr(*, as_json: Json = False) -> None:
    """See whether a restore to any moment would work; exit 1 when not, with the lines to set."""
    from dryad.operations.moments.check import check  # noqa: PLC0415 - as above
    from dryad.operations.moments.installed import (  # noqa: PLC0415 - heavy: not for help
        archive_of,
        bases_of,
    )

    with services() as opened:
        archive, bases = archive_of(opened.settings), bases_of(opened.settings)
        lines = check(bases.stores, bases, archive)
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
