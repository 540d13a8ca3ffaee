"""Read files into long-term memory: what may go in, what may not and why, batch by batch."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dryad.execution.memories import Document, Provenance
from dryad.execution.plain_text import as_text
from dryad.foundation.errors import InvalidRequest, LimitExceeded, NotFound
from dryad.foundation.ids import TenantId, checked_name
from dryad.memory.documents import MAX_DOCUMENT_BYTES
from dryad.memory.librarian import Librarian

MAX_FILES = 10_000
MAX_ROWS = 1_000
BATCH_FILES = 50
BATCH_BYTES = 2_000_000

KINDS = {
    **dict.fromkeys((".md", ".markdown"), "markdown"),
    **dict.fromkeys((".txt", ".text", ".rst", ""), "text"),
    **dict.fromkeys((".html", ".htm"), "html"),
}
"""What can be read, by the end of its name; a name without an end is taken for text."""


@dataclass(frozen=True)
class Source:
    """What is ingested: a directory or one file, and how it is labelled."""

    path: str
    category: str = "documents"
    provenance: Provenance = "untrusted"
    name: str = ""
    """Origins begin with this instead of the absolute path."""


@dataclass(frozen=True)
class Candidate:
    """A file that may be read; `path` is relative to the root, with slashes."""

    path: str
    size_bytes: int


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
    """What there is below a root, before anything is read."""

    root: str
    candidates: tuple[Candidate, ...]
    skipped: tuple[Ingested, ...]


def survey(source: Source) -> Survey:
    """List what could be read at `source.path`, by name; links are never followed.

    Raises:
        InvalidRequest: the path is not absolute, or the category is no name.
        LimitExceeded: there are more than 10,000 files.
        NotFound: nothing is there.
    """
    checked_name(source.category, what="a category")
    path = Path(source.path)
    if "\0" in source.path or not path.is_absolute():
        raise InvalidRequest(f"the path to ingest must be absolute, got {source.path[:200]!r}")
    if not path.exists():
        raise NotFound(f"nothing is at {source.path[:200]!r}", "Check the path on the worker.")
    path = path.resolve()
    root = path if path.is_dir() else path.parent
    candidates: list[Candidate] = []
    skipped: list[Ingested] = []
    for entry in _below(root) if path.is_dir() else [path]:
        name = entry.relative_to(root).as_posix()
        found = _judge(root, entry, name)
        if isinstance(found, Candidate):
            candidates.append(found)
        else:
            skipped.append(found)
        if len(candidates) > MAX_FILES:
            raise LimitExceeded(
                f"more than {MAX_FILES:,} files below {root}", "Ingest its parts one after another."
            )
    return Survey(str(root), tuple(candidates), tuple(skipped))


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


def ingest(
    librarian: Librarian,
    tenant: TenantId,
    source: Source,
    *,
    root: str,
    candidates: Sequence[Candidate],
) -> list[Ingested]:
    """Read a batch of files and shelve them; done again, it changes nothing.

    A file that changed takes the place of what was read from it before.

    Raises:
        InvalidRequest: a label of `source` is malformed.
        NotFound: there is no such tenant.
    """
    answers: list[Ingested] = []
    read: dict[str, Document] = {}
    for candidate in candidates:
        try:
            read[candidate.path] = _document(Path(root), candidate.path, source)
        except (OSError, InvalidRequest) as error:
            answers.append(Ingested(candidate.path, "skipped", _why(error)))
    shelved = librarian.shelve_all(tenant, list(read.values()), replace=True)
    for path, where in zip(read, shelved, strict=True):
        outcome = "known" if where.duplicate_of else "shelved"
        answers.append(Ingested(path, outcome, "", where.id, where.passages))
    return sorted(answers, key=lambda answer: answer.path)


def report(source: Source, answers: Sequence[Ingested]) -> str:
    """Return, as Markdown, how many files went in, and how many stayed out for which reason."""
    outcomes = Counter(answer.outcome for answer in answers)
    passages = sum(answer.passages for answer in answers if answer.outcome == "shelved")
    lines = [
        f"# Ingested `{_code(source.path)}`",
        f"As *{source.provenance}*, category `{source.category}`.",
        (
            "| Files | |\n|---|---|\n"
            f"| new or changed | {outcomes['shelved']:,} ({passages:,} passages) |\n"
            f"| known already | {outcomes['known']:,} |\n"
            f"| skipped | {outcomes['skipped']:,} |"
        ),
    ]
    reasons = Counter(a.reason.partition(":")[0] for a in answers if a.outcome == "skipped")
    if reasons:
        rows = "\n".join(f"| {_code(why)} | {times:,} |" for why, times in reasons.most_common(20))
        lines.append(f"| Skipped because | Files |\n|---|---|\n{rows}")
    return "\n\n".join(lines)


def table(answers: Sequence[Ingested]) -> list[dict[str, str]]:
    """Return a row for each file, skipped ones first; at most 1,000 rows, the last says so."""
    order = {"skipped": 0, "shelved": 1, "known": 2}
    rows = [
        {
            "file": answer.path,
            "outcome": answer.outcome,
            "reason": answer.reason,
            "passages": f"{answer.passages:,}" if answer.passages else "",
            "document": answer.document,
        }
        for answer in sorted(answers, key=lambda one: (order[one.outcome], one.path))
    ]
    if len(rows) > MAX_ROWS:
        rest = dict.fromkeys(rows[0], "") | {"file": f"… and {len(rows) - MAX_ROWS + 1:,} more"}
        rows = [*rows[: MAX_ROWS - 1], rest]
    return rows


def _code(text: str) -> str:
    """Return a file's words fit for a cell: they are not ours and must not become markup."""
    return re.sub(r"[`|<>\r\n\[\]]", " ", text)


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
        return Ingested(name, "skipped", _why(error))
    reason = ""
    if entry.name.startswith("."):
        reason = "hidden"
    elif stat.S_ISLNK(status.st_mode):
        inside = entry.resolve().is_relative_to(root)
        reason = "a link; what it names is read where it lies" if inside else "a link out of here"
    elif not stat.S_ISREG(status.st_mode):
        reason = "no regular file"
    elif entry.suffix.lower() not in KINDS:
        reason = f"unknown type {entry.suffix.lower()}"
    elif status.st_size > MAX_DOCUMENT_BYTES:
        reason = f"too large: {status.st_size:,} bytes, at most {MAX_DOCUMENT_BYTES:,}"
    elif status.st_size == 0:
        reason = "empty"
    if reason:
        return Ingested(name, "skipped", reason)
    return Candidate(name, status.st_size)


def _document(root: Path, name: str, source: Source) -> Document:
    path = root / name
    text = as_text(_read(root, path))
    title = ""
    if KINDS[path.suffix.lower()] == "html":
        title, text = _from_html(text)
    if not text.strip():
        raise InvalidRequest("empty")
    heading = re.search(r"^#\s+(.+?)\s*#*$", text, re.MULTILINE)
    return Document(
        title=(title or (heading[1] if heading else path.stem))[:200],
        text=text,
        origin=f"{source.name}/{name}" if source.name else str(path),
        category=source.category,
        provenance=source.provenance,
    )


def _read(root: Path, path: Path) -> bytes:
    """Read a file that was surveyed, unless it was swapped for something else since."""
    if not path.parent.resolve().is_relative_to(root):
        raise InvalidRequest("a link out of here")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidRequest("no regular file")
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise InvalidRequest(f"too large: more than {MAX_DOCUMENT_BYTES:,} bytes")
    return content


def _from_html(html: str) -> tuple[str, str]:
    """Return title and Markdown of a page; scripts and styles are not part of its text."""
    # Most runs read no page, and these take longest to import.
    from bs4 import BeautifulSoup  # noqa: PLC0415
    from markdownify import MarkdownConverter  # noqa: PLC0415

    try:
        page = BeautifulSoup(html, "html.parser")
        title = page.title.get_text(" ", strip=True) if page.title else ""
        for element in page(["head", "script", "style", "template", "noscript", "svg"]):
            element.decompose()
        return title, MarkdownConverter(heading_style="ATX").convert_soup(page).strip()
    except RecursionError as error:
        raise InvalidRequest("its elements are nested too deeply") from error


def _why(error: OSError | InvalidRequest) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return error.message
