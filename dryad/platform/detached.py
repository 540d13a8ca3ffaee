"""An instance without a terminal: `dryad up --detach` starts it here and waits until it is ready.

The new process tells its steps as JSON lines on a pipe; a failure is the last of them.
"""

import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import orjson

from dryad.foundation import errors
from dryad.foundation.errors import DryadError, Unavailable
from dryad.foundation.settings import Settings
from dryad.platform import environment
from dryad.platform.instance import Instance
from dryad.platform.progress import Progress, Report


def start(settings: Settings, *, demo: bool, reset_schedules: bool, report: Report) -> None:
    """Start the instance in a session of its own; return when it is ready.

    Raises:
        DryadError: as the instance raised it.
    """
    directory = Instance(settings.home).directory
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = [*(["--demo"] if demo else []), *(["--reset-schedules"] if reset_schedules else [])]
    with (directory / "up.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dryad.platform", *options],
            env=environment.joined(environment.inherited(), environment.exported(settings)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout as told:
        for line in told:
            message: dict[str, Any] = orjson.loads(line)
            if "code" in message:
                process.wait()
                raise _error(**message)
            progress = Progress(**message)
            report(progress)
            if progress.step == "ready":
                return
    raise Unavailable(
        f"the instance ended with status {process.wait()} before it was ready",
        f"Read {directory / 'up.out'}.",
    )


def tell(progress: Progress) -> None:
    """Write one step to standard output; after `ready` nobody listens any more."""
    _write(asdict(progress))
    if progress.step == "ready":
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def tell_failure(error: DryadError) -> None:
    """Write how it failed to standard output."""
    _write({"code": error.code, "message": error.message, "next_step": error.next_step})


def _write(message: dict[str, Any]) -> None:
    os.write(1, orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))


def _error(code: str, message: str, next_step: str) -> DryadError:
    known = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = {kind.code: kind for kind in known if issubclass(kind, DryadError)}
    return kinds.get(code, Unavailable)(message, next_step)
