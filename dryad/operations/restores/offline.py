"""A whole restore while nothing runs: on the machine itself, or on a bare one."""

from collections.abc import Callable
from pathlib import Path

from dryad.foundation.errors import DryadError, Unavailable
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.sets import Backups, Listed
from dryad.operations.restores.loss import Loss
from dryad.operations.restores.marks import Held
from dryad.operations.restores.proof import restored_problems
from dryad.operations.restores.restore import Restore


def restore_offline(
    backups: Backups,
    anchor: Path,
    wanted: Listed,
    *,
    loss: Loss,
    copy_first: bool = True,
    say: Callable[[str], None] = lambda _text: None,
) -> Held:
    """Replace the stores of an installation that does not run by those of a set.

    Args:
        backups: The installation's sets.
        anchor: Directory of its audit heads.
        wanted: The set.
        loss: What was shown to the person who decided.
        copy_first: Keep a safety copy of what is replaced, where it can be read.
        say: Told each step.

    Returns:
        What now waits for a person.

    Raises:
        DryadError: it failed; the state from before is in force, and the message says why.
    """
    if copy_first and not loss.unreadable:
        made = backups.create(Purpose(kind="safety", reason=f"before the restore of {wanted.id}"))
        say(f"safety copy: set {made.manifest.id}")
    restore = Restore.new(backups, anchor)
    held = restore.prepare(wanted)
    say("fresh stores are ready")
    prove(restore, lambda: restored_problems(backups, anchor))
    say(f"switched; what was there before is in {restore.directory / 'before'}")
    return held


def prove(restore: Restore, look: Callable[[], list[str]]) -> None:
    """Switch and look; go back when either fails.

    Raises:
        DryadError: it failed, and the state from before is in force again.
    """
    try:
        restore.switch()
        problems = look()
    except (DryadError, OSError) as error:
        reason = error.message if isinstance(error, DryadError) else str(error)
        problems = [reason]
    if problems:
        restore.roll_back("; ".join(problems))
        raise Unavailable(
            f"the restore went back: {'; '.join(problems)}",
            "Nothing has changed; use another set, or mend what is named.",
        )
    restore.finish()
