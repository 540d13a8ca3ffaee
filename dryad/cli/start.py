"""`dryad up`, `down`, `status`, `env`, `keeper`: the processes of this installation."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dryad.cli.output import Json, group, print_json, print_rows, say
from dryad.foundation.settings import load

if TYPE_CHECKING:
    from dryad.platform.progress import Progress
    from dryad.platform.up import Access

app = group("The processes of this installation.")


@app.command()
def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return once all is up.")] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Read the documentation and submit three tasks.")
    ] = False,
    reset_schedules: Annotated[
        bool, typer.Option("--reset-schedules", help="Undo what was paused or changed in the UI.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start this installation: Prefect, API, keeper, worker."""
    from dryad.platform import up as platform  # noqa: PLC0415 - only the processes need it

    settings, _ = load()

    def report(progress: "Progress") -> None:
        if as_json:
            print_json(asdict(progress))
        elif progress.step == "ready":
            _welcome(platform.access(settings), progress)
        else:
            _print_step(progress)

    platform.up(settings, detach=detach, demo=demo, reset_schedules=reset_schedules, report=report)


@app.command()
def down() -> None:
    """Stop this installation in order."""
    from dryad.platform import up as platform  # noqa: PLC0415 - as above

    settings, _ = load()
    running = platform.down(settings, report=_print_step)
    say("everything is stopped" if running else "nothing was running")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show which processes of this installation run."""
    from dryad.platform import up as platform  # noqa: PLC0415 - as above

    settings, _ = load()
    found = platform.status(settings)
    rows = [asdict(process) for process in found]
    if as_json:
        print_json(rows)
    else:
        shown = [
            {**row, "age_seconds": f"{row['age_seconds']:.0f}", "port": row["port"] or ""}
            for row in rows
        ]
        print_rows(
            shown, ("name", "state", "pid", "port", "age_seconds", "restarts"), as_json=False
        )
    if not found or any(process.state != "ready" for process in found):
        raise typer.Exit(1)


@app.command()
def env() -> None:
    """Print exports for your own `prefect` commands.

    Use them with `eval "$(dryad env)"`.
    """
    import shlex  # noqa: PLC0415 - only here

    from dryad.platform import up as platform  # noqa: PLC0415 - as above

    settings, _ = load()
    for name, value in platform.env(settings).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command()
def keeper() -> None:
    """Run the keeper alone; `dryad up` does it for you."""
    from dryad.platform import keeper as process  # noqa: PLC0415 - as above

    process.main()


def _print_step(progress: "Progress") -> None:
    if progress.seconds is not None:
        detail = f"  {progress.detail}" if progress.detail else ""
        say(f"{progress.step:<16} {progress.seconds:6.1f} s{detail}")


def _welcome(access: "Access", progress: "Progress") -> None:
    say(
        f"ready after {progress.seconds:.0f} s\n"
        f"  Prefect UI   {access.ui_url}\n"
        f"  its login    {access.login}\n"
        f"  DRYAD API    {access.api_url}/docs\n"
        "  next         `dryad inbox` shows what waits for you; Ctrl-C or `dryad down` stops"
    )
