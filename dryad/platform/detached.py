"""An instance without a terminal: `dryad up --detach` starts it here and waits until it is ready.

The new process tells its steps as JSON lines on a pipe; a failure is the last of them.
"""

import os
import subprocess
import sys
from dataclasses import asdict

import orjson

from dryad.foundation.errors import DryadError, Unavailable
from dryad.foundation.settings import Settings
from dryad.platform import environment
from dryad.platform.instance import Instance
from dryad.platform.progress import Progress, Report, failed, failure


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
    try:
        _follow(process, report)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def _follow(process: "subprocess.Popen[bytes]", report: Report) -> None:
    assert process.stdout is not None
    with process.stdout as told:
        for line in told:
            error = failed(line.decode())
            if error is not None:
                process.wait()
                raise error
            progress = Progress(**orjson.loads(line))
            report(progress)
            if progress.step == "ready":
                return
    raise Unavailable(
        f"the instance ended with status {process.wait()} before it was ready",
        "Read up.out in the directory `run` of the home.",
    )


def tell(progress: Progress) -> None:
    """Write one step to standard output; after `ready` nobody listens any more."""
    _write(orjson.dumps(asdict(progress)).decode())
    if progress.step == "ready":
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def tell_failure(error: DryadError) -> None:
    """Write how it failed to standard output."""
    _write(failure(error))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
