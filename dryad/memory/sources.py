"""What may be read into memory: files below allowed paths, and pages of allowed hosts."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dryad.execution.memories import Provenance
from dryad.execution.memory_policy import RESERVED
from dryad.foundation.errors import InvalidRequest, LimitExceeded, NotFound, Refused
from dryad.foundation.ids import checked_name
from dryad.memory.documents import MAX_DOCUMENT_BYTES
from dryad.memory.parsing.parsers import Format

MAX_FILES = 10_000
MAX_PARSED_BYTES = 25_000_000
BATCH_FILES = 50
BATCH_BYTES = 2_000_000

KINDS: dict[str, Format | Literal["text"]] = {
    **dict.fromkeys((".md", ".markdown", ".txt", ".text", ".rst", ""), "text"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    ".pdf": "pdf",
    ".docx": "docx",
}
"""What can be read, by the end of its name; a name without an end is taken for text."""

MEDIA: dict[str, Format | Literal["text"]] = {
    "text/plain": "text",
    "text/markdown": "text",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/csv": "csv",
    "application/json": "json",
    "application/x-ndjson": "json",
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
}
"""What can be read, by what a server says it is."""


@dataclass(frozen=True)
class Source:
    """What is ingested, and how it is labelled."""

    path: str
    """Directories, files and http addresses, one a line."""
    category: str = "documents"
    provenance: Provenance = "untrusted"
    name: str = ""
    """Origins begin with this instead of the absolute path."""

    @property
    def places(self) -> list[str]:
        """Each place that is named."""
        return [line.strip() for line in self.path.splitlines() if line.strip()]


@dataclass(frozen=True)
class Allowed:
    """What an installation lets be read.

    Attributes:
        paths: Directories; what lies below them may be read. None: any, as the person asking could.
        hosts: `host`, `host:port`, or either with `*.` for every host below.
        private_hosts: The same, for hosts with addresses of a private network.
    """

    paths: tuple[Path, ...] | None = ()
    hosts: tuple[str, ...] = ()
    private_hosts: tuple[str, ...] = ()


ANYWHERE = Allowed(paths=None)
"""For a person who reads files with rights of their own."""


@dataclass(frozen=True)
class Candidate:
    """What may be read: a file below `root`, relative and with slashes; or an address."""

    path: str
    size_bytes: int
    root: str = ""

    @property
    def place(self) -> str:
        """Its address, or its whole path."""
        return f"{self.root}/{self.path}" if self.root else self.path

    @property
    def is_address(self) -> bool:
        """Whether it is fetched from a server."""
        return not self.root


@dataclass(frozen=True)
class Ingested:
    """What became of one file. `known`: its text was there already."""

    path: str
    outcome: Literal["shelved", "known", "skipped"]
    reason: str = ""
    document: str = ""
    passages: int = 0


@dataclass(frozen=True)
class Survey:
    """What there is, before anything is read."""

    candidates: tuple[Candidate, ...] = field(default=())
    skipped: tuple[Ingested, ...] = field(default=())


def survey(source: Source, allowed: Allowed) -> Survey:
    """List what could be read at the places of `source`, by name; links are never followed.

    Raises:
        InvalidRequest: no place is named, a path is not absolute, the category is no name, or the
            name is one that DRYAD gives itself.
        LimitExceeded: there are more than 10,000 files.
        NotFound: nothing is at a path.
        Refused: a path is not allowed; whether something is there is not told.
    """
    checked_name(source.category, what="a category")
    if source.name.startswith(RESERVED):
        raise InvalidRequest(f"the name {source.name[:80]!r} begins as DRYAD's own origins do")
    if not source.places:
        raise InvalidRequest("name a path or an address to ingest")
    candidates: list[Candidate] = []
    skipped: list[Ingested] = []
    for place in source.places:
        if urlsplit(place).scheme in {"http", "https"}:
            candidates.append(Candidate(place, 0))
            continue
        for found in _files(_root(place, allowed)):
            if isinstance(found, Candidate):
                candidates.append(found)
            else:
                skipped.append(found)
            if len(candidates) > MAX_FILES:
                raise LimitExceeded(
                    f"there are more than {MAX_FILES:,} files", "Ingest parts one after another."
                )
    return Survey(tuple(candidates), tuple(skipped))


def batches(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Group candidates, in order, into batches of at most 50 files and about 2 MB."""
    batch: list[Candidate] = []
    for candidate in candidates:
        size = sum(one.size_bytes for one in batch)
        if batch and (len(batch) == BATCH_FILES or size + candidate.size_bytes > BATCH_BYTES):
            yield batch
            batch = []
        batch.append(candidate)
    if batch:
        yield batch


def read_file(candidate: Candidate) -> bytes:
    """Read a file that was surveyed, unless it was swapped for something else since.

    Raises:
        InvalidRequest: it is no longer what it was.
        OSError: it cannot be read.
    """
    root = Path(candidate.root)
    path = root / candidate.path
    if not path.parent.resolve().is_relative_to(root):
        raise InvalidRequest("a link out of here")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidRequest("no regular file")
        most = most_bytes(kind_of(candidate.path))
        content = file.read(most + 1)
    if len(content) > most:
        raise InvalidRequest(f"too large: more than {most:,} bytes")
    return content


def kind_of(name: str) -> Format | Literal["text"] | None:
    """Return what a file is, by the end of its name."""
    return KINDS.get(Path(name).suffix.lower())


def most_bytes(kind: str | None) -> int:
    """Return how large a file may be: what is parsed may hold more than its text."""
    return MAX_DOCUMENT_BYTES if kind in {None, "text"} else MAX_PARSED_BYTES


def why(error: OSError | InvalidRequest) -> str:
    """Return, for the table, why a file stays out."""
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return error.message


def _root(place: str, allowed: Allowed) -> Path:
    path = Path(place)
    if "\0" in place or not path.is_absolute():
        raise InvalidRequest(f"the path to ingest must be absolute, got {place[:200]!r}")
    resolved = path.resolve()
    if allowed.paths is not None and not any(
        resolved.is_relative_to(below.resolve()) for below in allowed.paths
    ):
        raise Refused(
            f"{place[:200]!r} is not below a path that may be ingested",
            "An operator adds its directory to DRYAD_INGEST_PATHS, or puts it into `inbox/` in "
            "the home.",
        )
    if not resolved.exists():
        raise NotFound(f"nothing is at {place[:200]!r}", "Check the path on the worker.")
    return resolved


def _files(path: Path) -> Iterator[Candidate | Ingested]:
    root = path if path.is_dir() else path.parent
    for entry in _below(root) if path.is_dir() else [path]:
        yield _judge(root, entry, entry.relative_to(root).as_posix())


def _below(root: Path) -> Iterator[Path]:
    """Yield what lies below, by name; of hidden and linked directories only themselves."""
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
            yield from _below(entry)
        else:
            yield entry


def _judge(root: Path, entry: Path, name: str) -> Candidate | Ingested:
    try:
        status = entry.lstat()
    except OSError as error:
        return Ingested(name, "skipped", why(error))
    reason = ""
    if entry.name.startswith("."):
        reason = "hidden"
    elif stat.S_ISLNK(status.st_mode):
        inside = entry.resolve().is_relative_to(root)
        reason = "a link; what it names is read where it lies" if inside else "a link out of here"
    elif not stat.S_ISREG(status.st_mode):
        reason = "no regular file"
    elif kind_of(name) is None:
        reason = f"unknown type {entry.suffix.lower()}"
    elif status.st_size > (most := most_bytes(kind_of(name))):
        reason = f"too large: {status.st_size:,} bytes, at most {most:,}"
    elif status.st_size == 0:
        reason = "empty"
    if reason:
        return Ingested(name, "skipped", reason)
    return Candidate(name, status.st_size, str(root))
