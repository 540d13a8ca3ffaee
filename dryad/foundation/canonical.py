"""One canonical JSON text and digest for everything that is compared, signed or bound."""

import hashlib
from typing import Any

import orjson


def canonical_json(value: Any) -> bytes:
    """Return `value` as JSON with sorted keys and no white space, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


def digest(value: Any) -> str:
    """Return the whole sha256 of `canonical_json(value)`, hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
