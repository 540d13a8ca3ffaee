"""Keep secrets out of logs: by the name of a key at any depth, and by type.

Names decide, because a pattern over values misses what it was not written for. Two patterns run
over the finished line all the same, for secrets inside prose: API keys and passwords in URLs.
"""

import dataclasses
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel, SecretBytes, SecretStr

REDACTED = "[redacted]"

_ANYWHERE = ("password", "passwd", "passphrase", "secret", "authorization", "credential", "cookie")
_AT_THE_END = (
    "token", "api_key", "apikey", "private_key", "signing_key", "encryption_key", "operator_key",
    "audit_key", "pepper", "totp_seed", "auth", "bearer", "one_time_code", "decision_code", "otp",
    "totp", "signature",
)  # fmt: skip
_EXACTLY = ("code", "pin", "pwd", "dsn")
_DEEPEST = 20
_PLAIN = frozenset({str, int, float, bool, type(None)})

_KEY_TEXT = re.compile(rb"dk_live_([0-9a-f]{16})_[0-9a-f]+")
_URL_PASSWORD = re.compile(rb'://([^/\s:@"]*):[^@/\s"]+@')


@lru_cache(maxsize=4096)
def is_secret(key: str) -> bool:
    """Whether a value under `key` must not be seen; `apiKey`, `X-Api-Key`, `api_key` are alike."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return (
        name in _EXACTLY
        or any(word in name for word in _ANYWHERE)
        or any(name == word or name.endswith("_" + word) for word in _AT_THE_END)
    )


def redacted(value: Any, depth: int = 0) -> Any:
    """Return `value` as plain JSON types, with every secret inside it replaced."""
    if type(value) in _PLAIN:
        return value
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if is_secret(str(key)) else redacted(inner, depth + 1)
            for key, inner in cast("Mapping[Any, Any]", value).items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redacted(inner, depth + 1) for inner in cast("list[Any]", value)]
    return _opened(value, depth)


def scrubbed(line: bytes) -> bytes:
    """Return a finished line without API keys and URL passwords inside its texts."""
    if b"dk_live_" in line:
        line = _KEY_TEXT.sub(rb"dk_live_\1_[redacted]", line)
    if b"://" in line:
        line = _URL_PASSWORD.sub(rb"://\1:[redacted]@", line)
    return line


def _opened(value: Any, depth: int) -> Any:
    if isinstance(value, (SecretStr, SecretBytes)):
        return REDACTED
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(cast('bytes', value))} bytes>"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, BaseModel):
        return redacted({name: getattr(value, name) for name in type(value).model_fields}, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return redacted(
            {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth
        )
    return str(value)
