"""Keep a value unreadable in the ledger: it opens with the installation's secrets alone."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, cast

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import Corrupt

_SEALED = "sealed"
_NONCE_BYTES = 12


class Seal:
    """Seals JSON objects for one purpose (AES-256-GCM)."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        """Derive the key of `purpose` from a secret of the installation."""
        self._box = AESGCM(hmac.digest(secret, purpose.encode(), hashlib.sha256))

    def close(self, value: Mapping[str, Any], *, place: str) -> dict[str, Any]:
        """Return `value` as `{"sealed": …}`, which opens at the same `place` only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        hidden = nonce + self._box.encrypt(nonce, canonical_json(value), place.encode())
        return {_SEALED: base64.b64encode(hidden).decode()}

    def open(self, stored: Mapping[str, Any], *, place: str) -> dict[str, Any]:
        """Return what `close` hid; what was never sealed is returned as it is.

        Raises:
            Corrupt: it was sealed with another secret, or for another place.
        """
        if not is_sealed(stored):
            return dict(stored)
        try:
            hidden = base64.b64decode(stored[_SEALED])
            nonce, rest = hidden[:_NONCE_BYTES], hidden[_NONCE_BYTES:]
            return cast(
                "dict[str, Any]", orjson.loads(self._box.decrypt(nonce, rest, place.encode()))
            )
        except (InvalidTag, ValueError, TypeError) as error:
            raise Corrupt(
                f"the configuration of {place} cannot be opened with this installation's secrets",
                "Restore the exported keys, or set the configuration anew.",
            ) from error


def is_sealed(stored: Mapping[str, Any]) -> bool:
    """Whether `Seal.close` made it."""
    return set(stored) == {_SEALED}
