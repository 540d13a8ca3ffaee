"""Flows that tests deploy; by module path, as the real ones."""

import os
import time
from pathlib import Path

from prefect import flow


@flow
async def write_note(path: str, text: str = "done") -> str:
    """Write `text` to a file, so that a test can see the run from outside."""
    here = Path.cwd()
    Path(path).write_text(f"{text} {os.getpid()} {here}")
    return text


@flow
async def hold_on(path: str, seconds: float = 60) -> None:
    """Write the process id to a file and keep the process busy."""
    Path(path).write_text(str(os.getpid()))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)
