"""`dryad up`, `down`, `status`, `env`, `keeper`: the processes of this installation."""

import sys
from typing import Annotated, Any

import typer

from dryad.cli.output import Json, group, print_json, print_rows, say
from dryad.foundation.settings import load

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
    from dryad import platform  # noqa: PLC0415 - only the processes need it

    settings, _ = load()
    platform.up(
        settings,
        detach=detach,
        demo=demo,
        reset_schedules=reset_schedules,
        report=_print_step if as_json else say,
    )


@app.command()
def down() -> None:
    """Stop this installation in order."""
    from dryad import platform  # noqa: PLC0415 - as above

    settings, _ = load()
    platform.down(settings)
    say("everything is stopped")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show which processes of this installation run."""
    from dryad import platform  # noqa: PLC0415 - as above

    settings, _ = load()
    found: list[dict[str, Any]] = platform.status(settings)
    print_rows(found, ("name", "state", "pid", "url", "reason"), as_json=as_json)
    if not found or any(process["state"] != "running" for process in found):
        raise typer.Exit(1)


@app.command()
def env() -> None:
    """Print exports for your own `prefect` commands.

    Use them with `eval "$(dryad env)"`.
    """
    import shlex  # noqa: PLC0415 - only here

    from dryad import platform  # noqa: PLC0415 - as above

    settings, _ = load()
    for name, value in platform.environment(settings).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command()
def keeper() -> None:
    """Run the keeper alone; `dryad up` does it for you."""
    from dryad.platform import keeper as process  # noqa: PLC0415 - as above

    process.main()


def _print_step(text: str) -> None:
    print_json({"step": text})
