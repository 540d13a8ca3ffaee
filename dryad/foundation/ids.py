"""Identifiers: typed, sortable by creation, readable aloud by their prefix."""

import re
import secrets
import time
from typing import NewType

from dryad.foundation.errors import InvalidRequest

TenantId = NewType("TenantId", str)
TaskId = NewType("TaskId", str)
RunId = NewType("RunId", str)
"""The flow run that carries a task, as the orchestrator names it."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


def new_id(prefix: str) -> str:
    """Return `<prefix>_<26 hex digits>`: 48 bits of milliseconds, then 56 random bits."""
    return f"{prefix}_{int(time.time() * 1000):012x}{secrets.token_hex(7)}"


def checked_name(value: str, *, what: str) -> str:
    """Return `value` when it may name a tenant, an agent or a tool.

    Raises:
        InvalidRequest: not 1-64 lower-case letters, digits, `_` or `-`, ending in letter or digit.
    """
    if not _NAME.fullmatch(value):
        raise InvalidRequest(
            f"{what} must be 1-64 lower-case letters, digits, '-' or '_', got {value[:80]!r}"
        )
    return value
