"""Encryption as https://age-encryption.org does it, through the one library that we use for it."""

import io
from typing import Any, Protocol

import pyrage  # pyright: ignore[reportMissingTypeStubs] - it has none

from dryad.foundation.errors import Corrupt

_pyrage: Any = pyrage


class Source(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; b'' at the end."""
        ...


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> Any:
        """Take all of the bytes."""
        ...


class NoKeyFits(Exception):
    """The stream is age's, and for other keys."""


def new_identity() -> str:
    """Return a new X25519 identity, `AGE-SECRET-KEY-1…`."""
    return str(_pyrage.x25519.Identity.generate())


def recipient(identity: str) -> str:
    """Return the public half of an identity, `age1…`.

    Raises:
        Corrupt: it is no identity.
    """
    try:
        return str(_pyrage.x25519.Identity.from_str(identity).to_public())
    except _pyrage.IdentityError as error:
        raise Corrupt("this is no age identity") from error


def encrypt(source: Source, sink: Sink, identity: str) -> None:
    """Encrypt `source` to its end, for the holder of an identity; memory stays flat.

    Raises:
        OSError: either side failed; its own error is hidden.
    """
    public = _pyrage.x25519.Identity.from_str(identity).to_public()
    try:
        _pyrage.encrypt_io(source, sink, [public])
    except _pyrage.EncryptError as error:
        raise OSError(str(error)) from error


def decrypt(source: Source, sink: Sink, identity: str) -> None:
    """Decrypt `source` to its end.

    Raises:
        NoKeyFits: it was not encrypted for this identity.
        OSError: it is damaged, or either side failed; its own error is hidden.
    """
    try:
        _pyrage.decrypt_io(source, sink, [_pyrage.x25519.Identity.from_str(identity)])
    except _pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise NoKeyFits from error
        raise OSError(str(error)) from error


def encrypted(text: bytes, identity: str) -> bytes:
    """Return `text` encrypted for the holder of an identity."""
    sink = io.BytesIO()
    encrypt(io.BytesIO(text), sink, identity)
    return sink.getvalue()


def decrypted(text: bytes, identity: str) -> bytes:
    """Return `text` open; raises as `decrypt` does."""
    sink = io.BytesIO()
    decrypt(io.BytesIO(text), sink, identity)
    return sink.getvalue()
