"""One at a time: what must not be done twice at once to an installation, on one machine."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from dryad.foundation.errors import Conflict


@contextmanager
def alone(
    home: Path, lock: str = "backup.lock", *, doing: str = "backup, prune or restore"
) -> Generator[None]:
    """Hold the one right to do something to an installation; the kernel takes it from the dead.

    Args:
        home: The installation's home.
        lock: Which right; by default the one to make, prune or restore sets.
        doing: What others are told.

    Raises:
        Conflict: another process has it.
    """
    directory = home / "run"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / lock).open("a") as handle:  # no child inherits it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"another {doing} of this installation is at work",
                "Wait until it is done; one works at a time.",
            ) from error
        yield
