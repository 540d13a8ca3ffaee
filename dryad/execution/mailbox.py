"""Messages of tenants that have no address to send to: one JSON line each, on this machine."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dryad.foundation.canonical import canonical_json
from dryad.foundation.ids import TenantId


def deliver(directory: Path, tenant: TenantId, letter: Mapping[str, Any]) -> Path:
    """Append a message to the tenant's mailbox; on return it survives a power cut.

    Args:
        directory: Where the mailboxes are; made when it is not there.
        tenant: Whose mailbox.
        letter: Anything JSON can say.

    Returns:
        The file it was appended to, as one whole line.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = directory / f"{tenant}.jsonl"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, canonical_json(dict(letter)) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return file
