"""What a restore did, step by step, in a file that no restore ever replaces."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter

from dryad.operations.backups.targets import sync_directory
from dryad.operations.restores.switch import Swap

JOURNAL = "journal.jsonl"

Step = Literal[
    "prepared",  # fresh stores are ready; nothing has changed yet
    "switching",  # from here on both old and new may be in place: going back is due
    "switched",  # the restored state is in place
    "done",  # it was looked at and is good
    "rolling_back",
    "rolled_back",  # the state from before is in place
]


@dataclass(frozen=True)
class Entry:
    """One line."""

    step: Step
    at: datetime
    detail: dict[str, Any]


class RestoreJournal:
    """The journal of one restore, `<home>/restores/<id>/journal.jsonl`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, step: Step, at: datetime, **detail: Any) -> None:
        """Write a step down; it is on the disk when this returns."""
        line = orjson.dumps({"step": step, "at": at, "detail": detail}) + b"\n"
        with (self.directory / JOURNAL).open("ab") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        sync_directory(self.directory)

    def entries(self) -> list[Entry]:
        """Return every step, oldest first; a line that a kill cut off does not count."""
        try:
            lines = (self.directory / JOURNAL).read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [TypeAdapter(Entry).validate_json(line) for line in lines[:-1] if line]

    def last(self) -> Step | None:
        """Return the step it stands at; None: nothing was made ready."""
        entries = self.entries()
        return entries[-1].step if entries else None

    def swaps(self) -> list[Swap]:
        """Return what changes places; empty: nothing ever did."""
        for entry in self.entries():
            if entry.step == "switching":
                return TypeAdapter(list[Swap]).validate_python(entry.detail["swaps"])
        return []
