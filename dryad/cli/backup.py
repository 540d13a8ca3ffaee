"""`dryad backup`: keep sets of everything; works without a running API."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dryad.cli.backup_consent import consent
from dryad.cli.backup_moments import base, base_rows, check_pitr, going_rows
from dryad.cli.backup_restore import restore
from dryad.cli.local import services
from dryad.cli.output import (
    Json,
    ListGroup,
    group,
    print_fields,
    print_json,
    print_rows,
    print_text,
    say,
    talkative,
)
from dryad.foundation.errors import Conflict, Refused

if TYPE_CHECKING:
    from dryad.operations.backups.manifest import Part
    from dryad.operations.backups.sets import Listed

app = group("Keep sets of everything, and restore from them.", ListGroup)

SetName = Annotated[str, typer.Argument(help="A set, the beginning of its name, or `newest`.")]


@app.command()
def create(
    *,
    critical: Annotated[
        bool, typer.Option("--critical", help="Keep it for ever: before a major upgrade.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Needed with --critical.")] = "",
    as_json: Json = False,
) -> None:
    """Keep a set in every target; exit 1 when one of them has no copy."""
    from dryad.operations.backups.making import Purpose  # noqa: PLC0415 - heavy: not for help

    def report(part: "Part") -> None:
        if talkative():
            say(f"  {part.name}: {part.plain_bytes / 1e6:,.1f} MB")

    with services() as opened:
        made = opened.backups.create(Purpose(critical=critical, reason=reason), report=report)
    print_fields(
        {
            "set": made.manifest.id,
            "sealed_bytes": made.manifest.stored_bytes,
            "seconds": round((made.manifest.finished - made.manifest.started).total_seconds(), 2),
            "failed": made.failed,
        },
        as_json=as_json,
    )
    for name, why in made.failed.items():
        say(f"no copy in {name}: {why}")
    if made.failed:
        raise typer.Exit(1)
    say(f"prove that it restores: dryad backup verify {made.manifest.id}")


@app.command("list")
def list_sets(*, as_json: Json = False) -> None:
    """List every set of every target, newest first; then the base backups, with PostgreSQL."""
    with services() as opened:
        rows = [_row(one) for one in opened.backups.listed()]
        if not opened.database.is_sqlite:
            rows += base_rows(opened.moments)
    columns = ("set", "state", "kind", "critical", "sealed_mb", "targets", "why")
    print_rows(rows, columns, as_json=as_json)
    if not rows:
        say("there is none yet; `dryad backup create` makes one")


@app.command()
def show(wanted: SetName = "newest", *, as_json: Json = False) -> None:
    """Show what a set holds."""
    with services() as opened:
        found = opened.backups.find(wanted)
    if found.manifest is None:
        raise Refused(f"set {found.id}: {found.why}", "Use another set.")
    parts = [
        {
            "part": part.name,
            "as": part.technology,
            "rows_or_files": sum(part.counts.values()),
            "open_bytes": part.plain_bytes,
            "sealed_bytes": part.stored_bytes,
        }
        for part in found.manifest.parts
    ]
    whole = _row(found) | {"versions": found.manifest.versions, "parts": parts}
    if as_json:
        print_json(whole)
        return
    print_fields({name: value for name, value in whole.items() if name != "parts"}, as_json=False)
    print_rows(parts, tuple(parts[0]), as_json=False)


@app.command()
def verify(wanted: SetName = "newest", *, as_json: Json = False) -> None:
    """Restore a set into a scratch place and compare; exit 1 when it is not as it was kept."""
    with services() as opened:
        found = opened.backups.verify(opened.backups.find(wanted))
    rows = [{"set": found.set, "problem": problem} for problem in found.problems]
    print_rows(rows, ("set", "problem"), as_json=as_json)
    if rows:
        say("use another set; `dryad backup list` shows which are verified")
        raise typer.Exit(1)
    say(f"set {found.set} restores: every part is as it was kept ({found.seconds} s)")


@app.command()
def prune(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else only show.")] = False,
    as_json: Json = False,
) -> None:
    """Show the sets, base backups and WAL that the retention lets go; with --yes remove them."""
    with services() as opened:
        outdated = opened.backups.outdated()
        gone = opened.backups.remove([one.id for one in outdated]) if yes else []
        rows = [_row(one) for one in outdated]
        if not opened.database.is_sqlite:
            rows += going_rows(opened.moments.prune() if yes else opened.moments.outdated())
    print_rows(rows, ("set", "state", "kind", "sealed_mb", "targets"), as_json=as_json)
    if not rows:
        say("nothing to remove")
    elif yes:
        say(f"removed, as listed; {len(gone)} of it sets")
    else:
        say("this would go: dryad backup prune --yes")


@app.command()
def export_keys(
    file: Annotated[Path, typer.Argument(help="A new file, for another place than the sets.")],
) -> None:
    """Write every secret of this installation, encrypted; print the recovery key, once.

    Without file and recovery key no set can be read on another machine.
    """
    from dryad.operations.backups import key  # noqa: PLC0415 - heavy: not for help

    with services() as opened:
        secrets = opened.settings.secrets_path
        bundle, recovery = key.export_keys(secrets)
        try:
            file.touch(mode=0o600, exist_ok=False)
        except FileExistsError as error:
            raise Conflict(f"{file} exists already", "Name a new file.") from error
        file.write_bytes(bundle)
        key.mark_exported(secrets)
    print_text(recovery)
    say(f"{file} holds the keys; the line above opens it and is shown only now")
    say("keep the two apart from each other and from the backup sets")


@app.command()
def drill(wanted: SetName = "newest", *, as_json: Json = False) -> None:
    """Make a scratch installation from a set, start and validate it, and measure.

    Nothing of this installation is touched; exit 1 when RTO or RPO was missed.
    """
    from dryad.operations.drills import RPO, RTO  # noqa: PLC0415 - heavy: not for help
    from dryad.operations.objectives import record  # noqa: PLC0415 - as above
    from dryad.platform.drill import drill as drilled  # noqa: PLC0415 - as above

    with services() as opened:
        found = drilled(
            opened.settings, wanted, report=lambda told: say(f"  {told}") if talkative() else None
        )
        record(opened.audit, found, actor="cli")
    print_fields(
        {
            "set": found.set_id,
            **{f"{name}_seconds": seconds for name, seconds in found.steps.items()},
            "rto_seconds": round(found.rto.total_seconds(), 1),
            "rto_allowed_seconds": RTO.total_seconds(),
            "rpo_seconds": round(found.rpo.total_seconds(), 1),
            "rpo_allowed_seconds": RPO.total_seconds(),
            "missed": found.missed,
        },
        as_json=as_json,
    )
    if found.missed:
        say("it is no recovery; `dryad health` tells so until a drill misses nothing")
        raise typer.Exit(1)
    say("both objectives were met; the drill is on record")


app.command()(restore)
app.command()(base)
app.command()(check_pitr)
app.command()(consent)


def _row(one: "Listed") -> dict[str, Any]:
    manifest = one.manifest
    row: dict[str, Any] = {
        "set": one.id,
        "state": one.state,
        "why": one.why,
        "verified": _moment(one.verified),
        "targets": [target.name for target in one.targets],
    }
    if manifest is not None:
        row |= {
            "started": _moment(manifest.started),
            "kind": manifest.kind,
            "critical": manifest.critical,
            "reason": manifest.reason,
            "sealed_mb": round(manifest.stored_bytes / 1e6, 2),
        }
    return row


def _moment(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"
