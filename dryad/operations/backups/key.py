"""The key that seals and signs backup sets, and how it leaves the machine before it is needed."""

import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from dryad.foundation.errors import Conflict, Corrupt, NotFound, Refused
from dryad.foundation.secrets import SECRETS_FILE, Secrets, publish, read_private
from dryad.operations.backups import age

KEY_FILE = "backup.key"
EXPORTED = "exported"
"""Holds the digest of what was exported last, so that `dryad up` can stop reminding."""

_FORMAT = 1


@dataclass(frozen=True)
class BackupKey:
    """An age X25519 identity: who holds it can read every set and sign new ones."""

    identity: str = field(repr=False)
    """`AGE-SECRET-KEY-1…`."""

    @property
    def recipient(self) -> str:
        """`age1…`: names the key without giving it away."""
        return age.recipient(self.identity)

    def sign(self, text: bytes) -> str:
        """Return the code (HMAC-SHA256, hex) that only a holder of this key can make."""
        key = hashlib.sha256(b"dryad backup signature\0" + self.identity.encode()).digest()
        return hmac.new(key, text, hashlib.sha256).hexdigest()

    def signed(self, text: bytes, code: str) -> bool:
        """Whether `code` was made by this key for exactly this text."""
        return hmac.compare_digest(self.sign(text), code)

    @staticmethod
    def create_or_read(secrets: Path) -> "BackupKey":
        """Return the key in the directory of the secrets, making it if there is none yet.

        Raises:
            NotFound: the installation has no secrets: it was never started.
            Refused: others could read the key.
            Corrupt: the key is damaged.
        """
        Secrets.read(secrets)
        if not (secrets / KEY_FILE).exists():
            publish(secrets, KEY_FILE, f"{age.new_identity()}\n".encode())
        return BackupKey.read(secrets)

    @staticmethod
    def read(secrets: Path) -> "BackupKey":
        """Return the key in the directory of the secrets; raises as `create_or_read` does."""
        found = BackupKey(read_private(secrets / KEY_FILE).decode(errors="replace").strip())
        try:
            age.recipient(found.identity)
        except Corrupt as error:
            raise Corrupt(
                f"{secrets / KEY_FILE} is damaged",
                "Restore it from the exported keys; without it no backup set can be read.",
            ) from error
        return found


def export_keys(secrets: Path) -> tuple[bytes, str]:
    """Return every secret of an installation, encrypted, and the recovery key that opens it.

    The recovery key is an age identity made for this one export and kept nowhere: it is as strong
    as what it protects, and `age -d` opens the file without DRYAD.

    Raises:
        NotFound: there are no secrets.
    """
    BackupKey.create_or_read(secrets)
    recovery = age.new_identity()
    text = orjson.dumps({"format": _FORMAT, "files": _everything(secrets)})
    return age.encrypted(text, recovery), recovery


def import_keys(bundle: bytes, recovery: str, secrets: Path) -> None:
    """Put exported secrets where a new machine looks for them; equal ones are left as they are.

    Raises:
        Refused: the recovery key is not that of the export.
        Corrupt: the file is damaged, or no export of this DRYAD.
        Conflict: other secrets are there already.
    """
    try:
        age.recipient(recovery)
        files = _read(age.decrypted(bundle, recovery))
    except (age.NoKeyFits, Corrupt) as error:
        raise Refused(
            "this recovery key does not open the exported keys",
            "Use the one that `dryad backup export-keys` printed with this file.",
        ) from error
    except OSError as error:
        raise Corrupt("the exported keys are damaged") from error
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        publish(secrets, name, content.encode())
        if read_private(secrets / name) != content.encode():
            raise Conflict(
                f"{secrets} holds the secrets of another installation",
                "Name another home (DRYAD_HOME), or move that directory away.",
            )


def _read(text: bytes) -> dict[str, str]:
    try:
        stored: dict[str, Any] = orjson.loads(text)
        files = {str(name): str(content) for name, content in stored["files"].items()}
        known = stored["format"] == _FORMAT and set(files) == {SECRETS_FILE, KEY_FILE}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt("the exported keys are damaged") from error
    if not known:
        raise Corrupt("the exported keys are of another DRYAD", "Use a newer DRYAD.")
    return files


def mark_exported(secrets: Path) -> None:
    """Remember that these secrets were exported."""
    (secrets / EXPORTED).write_text(_digest(secrets))


def is_exported(secrets: Path) -> bool:
    """Whether exactly the present secrets were exported."""
    try:
        return (secrets / EXPORTED).read_text() == _digest(secrets)
    except (FileNotFoundError, NotFound):
        return False


def _everything(secrets: Path) -> dict[str, str]:
    return {name: read_private(secrets / name).decode() for name in (SECRETS_FILE, KEY_FILE)}


def _digest(secrets: Path) -> str:
    return hashlib.sha256(orjson.dumps(_everything(secrets))).hexdigest()
