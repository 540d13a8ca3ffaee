"""Read files and pages into long-term memory, batch by batch, and tell what became of each."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, Protocol
from urllib.parse import urlsplit

from dryad.execution.memories import Document, Shelved
from dryad.execution.outside import Outside, Reach
from dryad.execution.plain_text import as_text
from dryad.foundation.errors import InvalidRequest, Refused, Unavailable
from dryad.foundation.ids import TenantId
from dryad.memory.parsing.parsers import Format, Parsed, Parsers
from dryad.memory.sources import (
    MAX_PARSED_BYTES,
    MEDIA,
    Allowed,
    Candidate,
    Ingested,
    Source,
    kind_of,
    read_file,
    why,
)

MAX_ROWS = 1_000

_HEADING = re.compile(r"^#\s+(.+?)\s*#*$", re.MULTILINE)


class Shelf(Protocol):
    """Where documents go: the Librarian, or one that is reached through the API."""

    def shelve_all(
        self, tenant: TenantId, documents: Sequence[Document], *, replace: bool = False
    ) -> list[Shelved]:
        """Keep documents, all or none."""
        ...


@dataclass(frozen=True)
class Ingestion:
    """What ingesting needs: a shelf, parsers in the sandbox, the way out, and what is allowed."""

    shelf: Shelf
    parsers: Parsers
    outside: Outside
    allowed: Allowed

    async def ingest(
        self, tenant: TenantId, source: Source, candidates: Sequence[Candidate]
    ) -> list[Ingested]:
        """Read a batch and shelve it; done again, it changes nothing.

        A file that changed takes the place of what was read from it before.

        Raises:
            InvalidRequest: a label of `source` is malformed.
            NotFound: there is no such tenant.
            Unavailable: there is no sandbox to parse in.
        """
        answers: list[Ingested] = []
        texts: dict[Candidate, Parsed] = {}
        parsing: dict[str, tuple[Format, bytes]] = {}
        by_place = {candidate.place: candidate for candidate in candidates}
        for candidate in candidates:
            try:
                kind, content = await self._read(candidate)
                if kind == "text":
                    texts[candidate] = Parsed(text=as_text(content))
                else:
                    parsing[candidate.place] = kind, content
            except (OSError, InvalidRequest, Refused, Unavailable) as error:
                answers.append(Ingested(candidate.path, "skipped", _reason(error)))
        for place, parsed in (await self.parsers.parse(parsing)).items():
            texts[by_place[place]] = parsed
        documents: dict[Candidate, Document] = {}
        for candidate, parsed in texts.items():
            reason = parsed.reason or ("" if parsed.text.strip() else "empty")
            if reason:
                answers.append(Ingested(candidate.path, "skipped", reason))
            else:
                documents[candidate] = _document(candidate, parsed, source)
        shelved = await asyncio.to_thread(
            self.shelf.shelve_all, tenant, list(documents.values()), replace=True
        )
        for candidate, where in zip(documents, shelved, strict=True):
            outcome = "known" if where.duplicate_of else "shelved"
            answers.append(Ingested(candidate.path, outcome, "", where.id, where.passages))
        return sorted(answers, key=lambda answer: answer.path)

    async def _read(self, candidate: Candidate) -> tuple[Format | Literal["text"], bytes]:
        if not candidate.is_address:
            kind = kind_of(candidate.path)
            assert kind is not None
            return kind, await asyncio.to_thread(read_file, candidate)
        reach = Reach(
            hosts=self.allowed.hosts,
            private=self.allowed.private_hosts,
            most_bytes=MAX_PARSED_BYTES,
        )
        reply = await self.outside.ask(reach, "GET", candidate.path)
        if reply.status != 200:
            raise InvalidRequest(f"the server answered {reply.status}")
        if reply.cut:
            raise InvalidRequest(f"too large: more than {MAX_PARSED_BYTES:,} bytes")
        kind = MEDIA.get(reply.kind)
        if reply.kind in {"", "application/octet-stream"}:  # the server does not know either
            kind = kind_of(urlsplit(reply.url).path)
        if kind is None:
            raise InvalidRequest(f"unknown type {reply.kind[:80]!r}")
        return kind, reply.content


def report(source: Source, answers: Sequence[Ingested]) -> str:
    """Return, as Markdown, how many files went in, and how many stayed out for which reason."""
    outcomes = Counter(answer.outcome for answer in answers)
    passages = sum(answer.passages for answer in answers if answer.outcome == "shelved")
    lines = [
        "# Ingested " + ", ".join(f"`{_code(place)}`" for place in source.places),
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


def _document(candidate: Candidate, parsed: Parsed, source: Source) -> Document:
    path = urlsplit(candidate.path).path if candidate.is_address else candidate.path
    heading = _HEADING.search(parsed.text) if _titled(candidate) else None
    title = parsed.title or (heading[1] if heading else PurePosixPath(path).stem) or "page"
    return Document(
        title=title[:200],
        text=parsed.text,
        origin=f"{source.name}/{candidate.path}" if source.name else candidate.place,
        category=source.category,
        provenance=source.provenance,
    )


def _titled(candidate: Candidate) -> bool:
    """Whether a heading of the text is a title: those of pages and rows are ours."""
    return kind_of(candidate.path) not in {"pdf", "csv", "json"}


def _reason(error: OSError | InvalidRequest | Refused | Unavailable) -> str:
    return why(error) if isinstance(error, OSError | InvalidRequest) else error.message


def _code(text: str) -> str:
    """Return a file's words fit for a cell: they are not ours and must not become markup."""
    return re.sub(r"[`|<>\r\n\[\]]", " ", text)
