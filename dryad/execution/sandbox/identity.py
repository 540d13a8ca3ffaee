"""Whom a sandboxed run is, to the kernel."""

import contextlib
import os
import secrets
from pathlib import Path

from dryad.execution.sandbox import layout
from dryad.foundation.errors import Unavailable

_FIRST, _COUNT = 1_880_000_000, 200_000_000
"""User ids nobody hands out: above container ranges, below the sign bit."""
_CAP_SYS_ADMIN = 21


def is_root() -> bool:
    """Whether this process is the superuser."""
    return os.geteuid() == 0


def can_mount() -> bool:
    """Whether this process may make namespaces and mounts without a user namespace."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return is_root() and bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def nobody() -> int:
    """Return a user id nothing else runs as, so that a run is bounded and killed on its own.

    Root's processes are not bound by RLIMIT_NPROC, and root owns the machine's files; a run
    started by root therefore continues as a user of its own.
    """
    return _FIRST + secrets.randbelow(_COUNT)


def starter() -> int | None:
    """Return the user to start a guest as that makes a user namespace; None is our own.

    Raises:
        Unavailable: root may not mount here, and nobody else can read this interpreter.
    """
    if can_mount() or not is_root():
        return None
    if not strangers_reach_python():
        raise Unavailable(
            f"root may not mount here, and other users cannot read {layout.guest_python()}",
            "Install Python and the project where every user can read them.",
        )
    return nobody()


def threads_of_ours() -> int:
    """Return how many threads run as our user now: the kernel counts them with a run's own."""
    count = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if process.stat().st_uid == os.geteuid():
                    count += len(list((process / "task").iterdir()))
    return count


def strangers_reach_python() -> bool:
    """Whether a user without any right of ours can run this interpreter and its libraries."""
    return all(layout.reachable_by_others(source) for source, _ in layout.layout().binds)
