"""A temporary directory for a process and all it starts, swept when that process was killed.

What `tempfile` makes is removed by whoever made it, so a kill -9 leaves it behind. Here everything
temporary lies under one directory that its owner holds locked; the next owner removes those that
nobody holds.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

_LOCK = ".held"


@contextlib.contextmanager
def scratch(prefix: str) -> Generator[Path]:
    """Let everything temporary of this process and its children lie in one directory.

    Args:
        prefix: Begins the directory's name; directories of the same prefix and user that nobody
            holds are removed first.

    Yields:
        The directory, private to this user, removed at the end.
    """
    place = Path(tempfile.gettempdir())
    _sweep(place, prefix)
    made = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=place))
    with (made / _LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # Only now is it where another owner sweeps.
        directory = made.rename(place / made.name.removeprefix("."))
        _use(directory)
        try:
            yield directory
        finally:
            _use(place)
            shutil.rmtree(directory, ignore_errors=True)


def _use(directory: Path) -> None:
    os.environ["TMPDIR"] = tempfile.tempdir = str(directory)


def _sweep(place: Path, prefix: str) -> None:
    for left in place.glob(f"{prefix}*/{_LOCK}"):
        with contextlib.suppress(OSError), left.open("r+") as held:  # held, gone, or another user's
            if left.stat().st_uid == os.getuid():
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left.parent, ignore_errors=True)
