"""What the supervisor has done for a restore: `python -P -m dryad.platform.restore_chores NAME`.

In processes that end, because the supervisor stays small; and without bootstrap but for the
report, because a restore must work when the levels above do not.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from dryad.foundation import logs
from dryad.foundation.environment import load
from dryad.foundation.errors import DryadError, Unavailable
from dryad.foundation.settings import Settings
from dryad.operations.backups.installed import backups_of
from dryad.operations.backups.sets import Backups
from dryad.operations.restores import paths
from dryad.operations.restores.proof import restored_problems
from dryad.operations.restores.request import requested, withdraw
from dryad.operations.restores.restore import Restore, recover
from dryad.platform.progress import failure
from dryad.runs import Runs

_REPORTED = "reported"


def go_on(backups: Backups, anchor: Path) -> None:
    """Bring restores that were cut off to one state, and say which is in force."""
    for outcome in recover(backups, anchor):
        _say(f"restore {outcome.id} was cut off; in force: {outcome.in_force}. {outcome.reason}")


def switch(backups: Backups, anchor: Path) -> None:
    """Switch to the restore that is asked for; when that fails, everything is as before."""
    wanted = requested(backups)
    if wanted is None:
        return
    restore = Restore(backups, anchor, wanted)
    try:
        restore.switch()
    except (DryadError, OSError) as error:
        reason = error.message if isinstance(error, DryadError) else str(error)
        restore.roll_back(reason)
        raise Unavailable(f"restore {wanted} went back: {reason}") from error
    finally:
        withdraw(backups)
    _say(f"restore {wanted} is switched in")


def settle(backups: Backups, anchor: Path) -> None:
    """Look at the state that was switched in, and say that it is good."""
    for restore in _standing_at(backups, anchor, "switched"):
        if problems := restored_problems(backups, anchor):
            raise Unavailable("; ".join(problems))
        restore.finish()
        _say(f"restore {restore.id} is good")


def roll_back(backups: Backups, anchor: Path) -> None:
    """Put the state from before in place again."""
    for restore in _standing_at(backups, anchor, "switched"):
        restore.roll_back("what was restored did not start or was not good")
        _say(f"restore {restore.id} went back")


def report(backups: Backups, anchor: Path) -> None:
    """Tell of restores that ended, each by a run of its own in the server that is in force now."""
    runs = Runs.of(load()[0])
    try:
        for restore in (*_standing_at(backups, anchor, "done"),
                        *_standing_at(backups, anchor, "rolled_back")):  # fmt: skip
            if not (restore.directory / _REPORTED).exists():
                runs.start(
                    "restore-backup/on-demand",
                    {"request": {"report": restore.id}},
                    name=f"restore-report-{restore.id}",
                    key=f"restore-{restore.id}",
                )
                (restore.directory / _REPORTED).touch()
    finally:
        runs.close()


CHORES: dict[str, Callable[[Backups, Path], None]] = {
    "recover": go_on,
    "switch": switch,
    "settle": settle,
    "roll-back": roll_back,
    "report": report,
}


def do(name: str, settings: Settings) -> int:
    """Do one chore; return the exit status. A failure is told as the last line."""
    logs.configure(settings.logs_dir, component="restore", level=settings.log_level)
    assert settings.audit_anchor is not None
    try:
        CHORES[name](backups_of(settings), settings.audit_anchor)
    except DryadError as error:
        sys.stdout.write(failure(error) + "\n")
        return error.exit_status
    return 0


def _standing_at(backups: Backups, anchor: Path, step: str) -> list[Restore]:
    folder = paths.restores(backups.stores.home)
    found = [Restore(backups, anchor, path.name) for path in sorted(folder.glob("*/"))]
    return [restore for restore in found if restore.journal.last() == step]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(do(sys.argv[1], load()[0]))
