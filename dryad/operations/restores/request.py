"""A restore that was made ready asks the supervisor to switch: one signed file.

Who can write into the home but does not hold the backup key asks in vain.
"""

import orjson

from dryad.foundation.errors import Corrupt
from dryad.operations.backups.sets import Backups
from dryad.operations.backups.targets import sync_directory
from dryad.operations.restores.paths import request_file


def request(backups: Backups, restore_id: str) -> None:
    """Ask for the switch to a restore that was made ready."""
    file = request_file(backups.stores.home)
    draft = file.with_suffix(".new")
    draft.write_bytes(orjson.dumps({"restore": restore_id, "mac": _code(backups, restore_id)}))
    draft.replace(file)
    sync_directory(file.parent)


def requested(backups: Backups) -> str | None:
    """Return the restore that is asked for; None: none is.

    Raises:
        Corrupt: the request is not ours.
    """
    try:
        stored = orjson.loads(request_file(backups.stores.home).read_bytes())
        restore_id, code = str(stored["restore"]), str(stored["mac"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("the request for a restore is damaged", "Remove it and ask again.") from error
    if not backups.key.signed(_text(restore_id), code):
        raise Corrupt(
            "the request for a restore is not signed by this installation",
            "Find out who wrote it, then remove it.",
        )
    return restore_id


def withdraw(backups: Backups) -> None:
    """Take the request away; doing so again is as good."""
    request_file(backups.stores.home).unlink(missing_ok=True)


def _code(backups: Backups, restore_id: str) -> str:
    return backups.key.sign(_text(restore_id))


def _text(restore_id: str) -> bytes:
    return f"switch to restore {restore_id}".encode()
