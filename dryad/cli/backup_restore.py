"""`dryad backup restore`: replace everything by a set, while nothing runs.

It imports no level above operations: it works where the rest does not.
"""

import sys
from datetime import UTC, datetime, timedelta
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dryad.cli.output import print_rows, say
from dryad.foundation import logs
from dryad.foundation.environment import load
from dryad.foundation.errors import InvalidRequest, Refused
from dryad.foundation.settings import Settings

if TYPE_CHECKING:
    from dryad.operations.backups.sets import Backups, Listed
    from dryad.operations.restores.loss import Loss


def restore(
    wanted: Annotated[
        str, typer.Argument(help="A set, the beginning of its name, or `newest`.")
    ] = "",
    *,
    at: Annotated[
        str,
        typer.Option(help="Instead of a set, a moment with its offset: '2025-10-13 12:00:00+00'."),
    ] = "",
    keys: Annotated[
        Path | None,
        typer.Option(help="Exported keys, on a machine without them; asks for the recovery key."),
    ] = None,
    target: Annotated[
        str, typer.Option("--from", help="Directory or address of the sets; default the targets.")
    ] = "",
    without_copy: Annotated[
        bool, typer.Option("--without-copy", help="Keep no safety copy of what is replaced.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the name of the set.")] = False,
) -> None:
    """Replace everything by a set, while nothing runs; also on a bare machine.

    What is restored stands still: the global stop is set, schedules are paused, and what was open
    is held, until a person lets it go on.
    """
    from dryad.operations.restores.offline import restore_offline  # noqa: PLC0415 - as below
    from dryad.platform.instance import Instance  # noqa: PLC0415 - as below

    moment, settings = _moment(wanted, at), _settings(target)
    logs.configure(settings.logs_dir, component="restore", level=settings.log_level)
    if keys is not None:
        _import(keys, settings)
    with Instance(settings.home).claimed():
        backups, anchor = _recovered(settings)
        found = backups.find(wanted) if moment is None else _made_of(settings, backups, moment)
        lost = _weighed(backups, found)
        _confirm(found.id, asked=not yes)
        held = restore_offline(
            backups, anchor, found, loss=lost, copy_first=not without_copy, say=say
        )
    say(f"restored from {found.id}: {held.tasks} tasks, {held.cases} questions, "
        f"{held.runs} runs are held")  # fmt: skip
    say("start it with `dryad up`; `dryad lift global` lets work go on")


def _settings(target: str) -> Settings:
    settings, _ = load()
    if not target:
        return settings
    address = target if "://" in target else str(Path(target).expanduser().resolve())
    return settings.model_copy(update={"backup_targets": (address,)})


def _recovered(settings: Settings) -> "tuple[Backups, Path]":
    """Bring restores that were cut off to an end; return the sets, and where audit heads lie."""
    from dryad.operations.backups.installed import backups_of  # noqa: PLC0415 - heavy: not for help
    from dryad.operations.restores.restore import recover  # noqa: PLC0415 - as above

    anchor = settings.audit_anchor
    assert anchor is not None
    backups = backups_of(settings)
    for outcome in recover(backups, anchor):
        say(f"restore {outcome.id} was cut off; in force: {outcome.in_force}")
    return backups, anchor


def _weighed(backups: "Backups", found: "Listed") -> "Loss":
    """Show what a set would replace; raises `Refused` when it cannot be read."""
    from dryad.operations.restores.loss import loss  # noqa: PLC0415 - as above

    if found.manifest is None:
        raise Refused(f"set {found.id}: {found.why}", "Use another set.")
    lost = loss(backups, found.manifest)
    _show(lost)
    return lost


def _confirm(name: str, *, asked: bool) -> None:
    if asked and typer.prompt("Type the name of the set", err=True) != name:
        raise Refused("that is not its name; nothing was changed", f"It is {name}.")


def _moment(wanted: str, text: str) -> datetime | None:
    if bool(text) == bool(wanted):
        raise InvalidRequest("name a set, or a moment", "One of SET and --at, not both.")
    if wanted:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(
            f"{text!r} is no moment", "Write it as 2025-10-13 12:00:00+00:00."
        ) from error
    if moment.tzinfo is None:
        raise InvalidRequest(
            f"{text!r} has no offset, so it may mean a day's worth of moments",
            "Add it: 2025-10-13 12:00:00+00:00.",
        )
    return moment.astimezone(UTC)


def _made_of(settings: Settings, backups: "Backups", moment: datetime) -> "Listed":
    """Make a set of what both databases were at a moment; nothing live changes."""
    from dryad.operations.moments.installed import (  # noqa: PLC0415 - heavy: not for help
        archive_of,
        bases_of,
    )
    from dryad.operations.moments.rewind import set_of  # noqa: PLC0415 - as above

    archive = archive_of(settings)
    if archive is None:
        raise Refused(
            "no WAL archive is set, so there is no way back to a moment",
            "Set DRYAD_WAL_ARCHIVE; `dryad backup check-pitr` says what else is needed.",
        )
    found = set_of(backups, bases_of(settings), archive, moment)
    say(f"as of {moment.isoformat(sep=' ')}: set {found.id}; files are as they are now")
    return found


def _import(keys: Path, settings: Settings) -> None:
    from dryad.operations.backups.key import import_keys  # noqa: PLC0415 - heavy: not for help

    asked = sys.stdin.isatty()
    recovery = getpass("Recovery key: ") if asked else sys.stdin.readline()
    import_keys(keys.read_bytes(), recovery.strip(), settings.secrets_path)


def _show(lost: "Loss") -> None:
    age = timedelta(seconds=round(lost.age.total_seconds()))
    say(f"set {lost.set_id} is {age} old; what was done since is lost")
    if lost.unreadable:
        say(f"what is here cannot be read: {lost.unreadable}")
        return
    rows = [{"table": table, "rows_lost": count} for table, count in sorted(lost.tables.items())]
    if rows:
        print_rows(rows, ("table", "rows_lost"), as_json=False)
