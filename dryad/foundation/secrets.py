"""The secrets of an installation: made once, read by every process, never in a backup set.

They live in one file, so that they exist together or not at all: a secret that is lost is an
error to be told, never a value to be invented anew.
"""

import base64
import os
import secrets as random
import stat
import tempfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from dryad.foundation.errors import Corrupt, NotFound, Refused, Unavailable

SECRETS_FILE = "secrets.json"
_FORMAT = 1


@dataclass(frozen=True)
class Secrets:
    """What this installation must not tell anybody."""

    key_pepper: bytes = field(repr=False)
    """32 bytes mixed into the digest of every API key."""
    audit_key: bytes = field(repr=False)
    """32 bytes that sign the audit chains."""
    review_secret: bytes = field(repr=False)
    """32 bytes that sign decision codes."""
    prefect_auth: str = field(repr=False)
    """`dryad:<random>`, the login of the Prefect UI and API."""
    prefect_encryption_key: str = field(repr=False)
    """Fernet key of Prefect's secret blocks."""
    operator_key: str = field(repr=False)
    """Bearer key of the operator at this machine."""

    @property
    def sealing_key(self) -> bytes:
        """What credentials of outside services are sealed with in the ledger, as in blocks."""
        return self.prefect_encryption_key.encode()

    @staticmethod
    def create_or_read(directory: Path) -> "Secrets":
        """Return the secrets in `directory`, making them if there are none yet.

        Any number of processes may start at once: one makes them, all read the same.

        Raises:
            Refused: others could read the directory or the file.
            Corrupt: the file is damaged or of a newer DRYAD.
            Unavailable: the directory cannot be written.
        """
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            directory.mkdir(mode=0o700, exist_ok=True)
            _refuse_shared(directory)
            if not (directory / SECRETS_FILE).exists():
                publish(directory, SECRETS_FILE, _as_text(_new()))
        except OSError as error:
            raise Unavailable(
                f"the secrets in {directory} cannot be written: {error.strerror}",
                "Make the directory writable, or set DRYAD_SECRETS_DIR.",
            ) from error
        return Secrets.read(directory)

    @staticmethod
    def read(directory: Path) -> "Secrets":
        """Return the secrets in `directory`.

        Raises:
            NotFound: there are none.
            Refused: others could read the directory or the file.
            Corrupt: the file is damaged or of a newer DRYAD.
            Unavailable: this process may not read them.
        """
        file = directory / SECRETS_FILE
        return _parse(read_private(file), file)


def _new() -> Secrets:
    return Secrets(
        key_pepper=random.token_bytes(32),
        audit_key=random.token_bytes(32),
        review_secret=random.token_bytes(32),
        prefect_auth=f"dryad:{random.token_urlsafe(24)}",
        prefect_encryption_key=base64.urlsafe_b64encode(random.token_bytes(32)).decode(),
        operator_key=new_key_text(),
    )


def new_key_text() -> str:
    """Return a new bearer key: `dk_live_<16 hex digits of id>_<64 hex digits of secret>`."""
    return f"dk_live_{random.token_hex(8)}_{random.token_hex(32)}"


def publish(directory: Path, name: str, text: bytes) -> None:
    """Write a private file whole and give it its name only if nobody else did.

    A link never replaces, so of several writers the first one counts.

    Raises:
        OSError: the directory cannot be written.
    """
    handle, draft = tempfile.mkstemp(dir=directory, prefix=".draft-")  # 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, directory / name)
        except FileExistsError:
            return
        _sync_directory(directory)
    finally:
        Path(draft).unlink()


def read_private(file: Path) -> bytes:
    """Return a file of the secrets' directory.

    Raises:
        NotFound: there is none.
        Refused: others could read the directory or the file.
        Unavailable: this process may not read it.
    """
    try:
        _refuse_shared(file.parent)
        _refuse_shared(file)
        return file.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            f"no secrets in {file.parent}: {file.name} is missing",
            "`dryad up` makes them on its first start.",
        ) from error
    except OSError as error:
        raise Unavailable(f"{file} cannot be read: {error.strerror}") from error


def _as_text(made: Secrets) -> bytes:
    values = {item.name: getattr(made, item.name) for item in fields(made)}
    return orjson.dumps(
        {"format": _FORMAT}
        | {name: v.hex() if isinstance(v, bytes) else v for name, v in values.items()},
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_shared(path: Path) -> None:
    status = path.stat()
    if status.st_mode & 0o077:
        mode = "700" if stat.S_ISDIR(status.st_mode) else "600"
        raise Refused(f"others may look into {path}", f"Run `chmod {mode} {path}`.")
    if status.st_uid not in {os.geteuid(), 0}:
        raise Refused(
            f"{path} belongs to another user",
            f"Run as its owner, or `chown {os.geteuid()} {path}`.",
        )


def _parse(text: bytes, file: Path) -> Secrets:
    try:
        stored: dict[str, Any] = orjson.loads(text)
        if stored["format"] != _FORMAT:
            raise Corrupt(
                f"{file} has format {stored['format']}, this DRYAD reads {_FORMAT}",
                "Use the DRYAD that wrote it, or a newer one.",
            )
        return Secrets(
            key_pepper=bytes.fromhex(stored["key_pepper"]),
            audit_key=bytes.fromhex(stored["audit_key"]),
            review_secret=bytes.fromhex(stored["review_secret"]),
            prefect_auth=str(stored["prefect_auth"]),
            prefect_encryption_key=str(stored["prefect_encryption_key"]),
            operator_key=str(stored["operator_key"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(
            f"{file} is damaged",
            "Restore it from the exported keys; without it no key and no audit chain is valid.",
        ) from error
