"""`dryad up`, `down`, `status`, `env`, `keeper`: the processes of this installation."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dryad.cli.output import Json, group, print_rows, say, talkative
from dryad.foundation.settings import Settings, load

if TYPE_CHECKING:
    from dryad.platform.progress import Progress

app = group("The processes of this installation.")


@app.command()
def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return once all is up.")] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Read the documentation and submit three tasks.")
    ] = False,
    reset_schedules: Annotated[
        bool, typer.Option("--reset-schedules", help="Wake what was paused in the UI.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start this installation: Prefect, API, keeper, worker."""
    from dryad.platform.up import up as start  # noqa: PLC0415 - only the processes need it

    settings, _ = load()

    def report(progress: "Progress") -> None:
        if as_json:
            sys.stdout.write(json.dumps(asdict(progress)) + "\n")
            sys.stdout.flush()
        else:
            _say_step(settings, progress)

    start(settings, detach=detach, demo=demo, reset_schedules=reset_schedules, report=report)


@app.command()
def down(*, as_json: Json = False) -> None:
    """Stop this installation in order."""
    from dryad.platform.up import down as stop  # noqa: PLC0415 - as above

    settings, _ = load()
    say("stopping; runs that work may reach their end first")
    stopped = stop(settings)
    if as_json:
        sys.stdout.write(json.dumps({"stopped": stopped}) + "\n")
    say("everything is stopped" if stopped else "nothing was running")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show which processes of this installation run; exit 1 when not all do."""
    from dryad.platform.up import status as look  # noqa: PLC0415 - as above

    settings, _ = load()
    found = look(settings)
    rows = [
        asdict(process) | {"age_seconds": round(process.age_seconds)}
        for process in found
    ]  # fmt: skip
    columns = ("name", "state", "pid", "age_seconds", "restarts", "port")
    print_rows(rows, columns, as_json=as_json)
    if not found:
        say("nothing runs; start it with `dryad up`")
    if not found or any(process.state != "ready" for process in found):
        raise typer.Exit(1)


@app.command()
def env() -> None:
    """Print exports for your own `prefect` commands.

    Use them with `eval "$(dryad env)"`.
    """
    import shlex  # noqa: PLC0415 - only here

    from dryad.platform.up import env as exports  # noqa: PLC0415 - as above

    settings, _ = load()
    for name, value in exports(settings).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command()
def keeper() -> None:
    """Run the keeper alone; `dryad up` does it for you."""
    from dryad.platform import keeper as process  # noqa: PLC0415 - as above

    process.main()


def _say_step(settings: Settings, progress: "Progress") -> None:
    """Tell one step: its beginning only where somebody watches."""
    if progress.step == "ready":
        _say_ready(settings, progress)
    elif progress.seconds is not None:
        detail = f"  {progress.detail}" if progress.detail else ""
        say(f"✓ {progress.step:<16} {progress.seconds:5.1f} s{detail}")
    elif talkative():
        say(f"… {progress.step}")


def _say_ready(settings: Settings, progress: "Progress") -> None:
    from dryad.platform.up import access  # noqa: PLC0415 - as above

    found = access(settings)
    say(
        f"ready after {progress.seconds} s\n"
        f"  Prefect UI  {found.ui_url}\n"
        f"  login       {found.login}   (the UI asks once)\n"
        f"  API         {found.api_url}/docs\n"
        f"  try         dryad inbox"
    )
