"""`dryad up`, `down`, `status`, `env`, `keeper`: the processes of this installation."""

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dryad.cli.output import Json, group, print_rows, say, talkative
from dryad.foundation.environment import load
from dryad.foundation.settings import Settings

if TYPE_CHECKING:
    from dryad.platform.progress import Progress

app = group("The processes of this installation.")


@app.command()
def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return once all is ready.")] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Read the documentation and submit three tasks.")
    ] = False,
    reset_schedules: Annotated[
        bool, typer.Option("--reset-schedules", help="Wake what was paused in the UI.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start this installation: Prefect, API, keeper, worker."""
    from dryad.platform import up as platform  # noqa: PLC0415 - processes, databases: not for help

    settings, _ = load()
    platform.up(
        settings,
        detach=detach,
        demo=demo,
        reset_schedules=reset_schedules,
        report=_reporter(settings, as_json=as_json),
    )
    if detach:
        say("it goes on in the background; stop it with `dryad down`")


@app.command()
def down(*, as_json: Json = False) -> None:
    """Stop this installation in order."""
    from dryad.platform import up as platform  # noqa: PLC0415 - as above

    settings, _ = load()
    stopped = platform.down(settings, report=_reporter(settings, as_json=as_json))
    say("everything is stopped" if stopped else "nothing was running")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show which processes of this installation run."""
    from dryad.platform import up as platform  # noqa: PLC0415 - as above

    settings, _ = load()
    rows = [asdict(process) for process in platform.status(settings)]
    for row in rows:
        row["age_seconds"] = round(row["age_seconds"], 1)
    columns = ("name", "state", "pid", "port", "age_seconds", "restarts")
    print_rows(rows, columns, as_json=as_json)
    if not rows:
        say(f"nothing runs at {settings.home}; start it with `dryad up`")
    elif not as_json:
        _say_where(settings)
    if not rows or any(row["state"] != "ready" for row in rows):
        raise typer.Exit(1)


@app.command()
def env() -> None:
    """Print exports for your own `prefect` commands.

    Use them with `eval "$(dryad env)"`.
    """
    from dryad.platform import up as platform  # noqa: PLC0415 - as above

    settings, _ = load()
    for name, value in platform.env(settings).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command()
def keeper() -> None:
    """Run the keeper alone; `dryad up` does it for you."""
    from dryad.platform import keeper as process  # noqa: PLC0415 - as above

    process.main()


def _reporter(settings: Settings, *, as_json: bool) -> "Callable[[Progress], None]":
    """Return who is told each step: a program every one, a person at a terminal those done."""

    def for_program(progress: "Progress") -> None:
        sys.stdout.write(json.dumps(asdict(progress)) + "\n")
        sys.stdout.flush()

    def for_person(progress: "Progress") -> None:
        if progress.step == "ready":
            say(f"ready after {progress.seconds} s")
            _say_where(settings)
        elif progress.seconds is not None and talkative():
            detail = progress.detail.replace("\n", f"\n{'':12}{'':{len(progress.step)}}")
            say(f"  {progress.seconds:6.1f} s  {progress.step}  {detail}".rstrip())
        elif progress.step == "demo" and progress.detail:
            say(progress.detail)

    return for_program if as_json else for_person


def _say_where(settings: Settings) -> None:
    from dryad.operations.backups.key import is_exported  # noqa: PLC0415 - as above
    from dryad.platform import up as platform  # noqa: PLC0415 - as above

    found = platform.access(settings)
    say(f"  Prefect UI  {found.ui_url}  (it asks once; enter {found.login})")
    say(f"  DRYAD API   {found.api_url}/docs")
    say("  questions   dryad inbox")
    if not is_exported(settings.secrets_path):
        say("  not safe    dryad backup export-keys FILE  (no backup is readable without the keys)")
