"""Turn what an agent did into a note: checked, named, summed up, and labelled by its sources."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

from dryad.execution.annotations import Annotations, annotate
from dryad.execution.coordinator import Asker, Coordinator, MemoryKind, Stored
from dryad.execution.memories import Provenance, SourceType
from dryad.execution.plain_text import as_text
from dryad.execution.telling import Teller
from dryad.foundation.errors import InvalidRequest, Refused

MAX_NOTE_BYTES = 1_000_000
SUMMARY_CHARACTERS = 200
TITLE_CHARACTERS = 80
KEY_POINTS = 10
MAX_BATCH = 50

NOTHING = Annotations()
"""Said of what is asked to be kept for a short time alone: finding out takes a second at first."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+(.+)$", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{4,}")  # short words say little


@dataclass(frozen=True)
class Note:
    """What the Scribe made of a text: without a model, everything is taken from it."""

    text: str
    title: str
    summary: str
    """Its weightiest sentences in their order, at most 200 characters."""
    key_points: tuple[str, ...]
    """Its list items, else its weightiest sentences; at most 10."""
    sha256: str
    provenance: Provenance
    about: Annotations = NOTHING
    """Found by rules."""
    by: str = ""
    """The model whose words title, summary, points, names and topics are; '': rules took them."""

    @property
    def details(self) -> dict[str, Any]:
        """What is kept beside the text, as JSON."""
        return {
            "summary": self.summary,
            "key_points": list(self.key_points),
            "sha256": self.sha256,
            "language": self.about.language,
            "entities": list(self.about.entities),
            "topics": list(self.about.topics),
            "confidence": self.about.confidence,
            "described_by": self.by,
        }


@dataclass(frozen=True)
class Jot:
    """One text of a batch, and how it is to be noted; see `Scribe.note`."""

    content: str | bytes
    source_type: SourceType = "observation"
    origin: str = ""
    title: str = ""
    provenance: Provenance = "untrusted"
    priority: int = 5


@dataclass(frozen=True)
class Noted:
    """What became of one text of a batch: its note and place, or why there is none."""

    note: Note | None = None
    stored: Stored | None = None
    error: str = ""


class Scribe:
    """Writes notes into memory."""

    def __init__(self, coordinator: Coordinator, *, teller: Teller | None = None) -> None:
        """Prepare.

        Args:
            coordinator: Keeps the notes.
            teller: Describes what is kept for long better than rules do; None: rules alone.
        """
        self._coordinator = coordinator
        self._teller = teller

    def note(
        self,
        asker: Asker,
        content: str | bytes,
        *,
        source_type: SourceType = "observation",
        origin: str = "",
        title: str = "",
        provenance: Provenance = "trusted",
        sources: Iterable[Provenance] = (),
        kind: MemoryKind | None = None,
        priority: int = 5,
        ttl: timedelta | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> tuple[Note, Stored]:
        """Make a note of `content` and keep it.

        Args:
            asker: Who notes, and in whose memory.
            content: 1 byte to 1 MB of text; bytes are UTF-8, or UTF-16 with its mark.
            source_type: What it is.
            origin: Where it came from; default the agent.
            title: What to call it; default its first heading or words.
            provenance: May the words themselves be believed?
            sources: The labels of what it was drawn from; one untrusted makes the note untrusted.
            kind: The memory to keep it in; default by `priority` and `source_type`: from priority
                8, and for what a tool returned, working memory; for conversation short-term
                memory; for the rest long-term memory.
            priority: 1-10.
            ttl: Life in short-term memory; default the installation's.
            details: More to keep beside it, as JSON.

        Returns:
            The note, and where it went; `duplicate_of` names an earlier note of the same words.

        Raises:
            InvalidRequest: the content is empty, too long, or no text; the priority out of bounds.
            Refused: it is somebody else's memory.
        """
        if not 1 <= priority <= 10:
            raise InvalidRequest(f"a priority is 1-10, got {priority}")
        labels = {provenance, *sources}
        note = compose(
            content, title=title, provenance="untrusted" if "untrusted" in labels else "trusted"
        )
        where = kind or _kind(source_type, priority)
        if kind != "short_term":
            note = replace(note, about=annotate(note.text))
        if where != "short_term" and self._teller:
            note = self._described(self._teller, asker, note, titled=bool(title.strip()))
        stored = self._coordinator.store(
            asker,
            where,
            note.text,
            key=f"note/{note.sha256[:32]}",
            title=note.title,
            origin=origin,
            provenance=note.provenance,
            source_type=source_type,
            ttl=ttl,
            details={**(details or {}), **note.details, "priority": priority},
            compared=True,
        )
        return note, stored

    def _described(self, teller: Teller, asker: Asker, note: Note, *, titled: bool) -> Note:
        """Say in a model's words what a note is about, where it answers."""
        told = teller.tell(asker.tenant, asker.agent, note.text)
        if not told.by:
            return note
        about = replace(note.about, entities=told.entities, topics=told.topics)
        return replace(
            note,
            title=note.title if titled else _shortened(told.title, TITLE_CHARACTERS),
            summary=_shortened(told.summary, SUMMARY_CHARACTERS),
            key_points=told.key_points[:KEY_POINTS],
            about=about,
            by=told.by,
        )

    def note_all(self, asker: Asker, jots: Sequence[Jot]) -> list[Noted]:
        """Note many texts; one that is no note costs no other.

        Args:
            asker: Who notes, and in whose memory.
            jots: At most 50.

        Returns:
            One answer for each, in order.

        Raises:
            InvalidRequest: there are too many.
            Unavailable: the ledger does not answer; what was noted before stays.
        """
        if len(jots) > MAX_BATCH:
            raise InvalidRequest(f"at most {MAX_BATCH} texts are noted at once, got {len(jots)}")
        answers: list[Noted] = []
        for jot in jots:
            try:
                note, stored = self.note(
                    asker,
                    jot.content,
                    source_type=jot.source_type,
                    origin=jot.origin,
                    title=jot.title,
                    provenance=jot.provenance,
                    priority=jot.priority,
                )
                answers.append(Noted(note, stored))
            except (InvalidRequest, Refused) as error:
                answers.append(Noted(error=f"{error.message}. {error.next_step}"))
        return answers


def compose(content: str | bytes, *, title: str = "", provenance: Provenance = "untrusted") -> Note:
    """Make a note of `content`, without keeping it.

    Raises:
        InvalidRequest: it is empty, too long, or no text.
    """
    text = _normalised(_decoded(content))
    if not text:
        raise InvalidRequest("there is nothing to note: the text is empty")
    sentences = [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]
    weights = _weights(sentences)
    return Note(
        text=text,
        title=_shortened(title.strip() or _title(text), TITLE_CHARACTERS),
        summary=_summary(sentences, weights),
        key_points=_key_points(text, sentences, weights),
        sha256=sha256(text.encode()).hexdigest(),
        provenance=provenance,
    )


def _kind(source_type: SourceType, priority: int) -> MemoryKind:
    if priority >= 8 or source_type == "tool_output":
        return "working"
    return "short_term" if source_type == "conversation" else "long_term"


def _decoded(content: str | bytes) -> str:
    size = len(content) if isinstance(content, bytes) else len(content.encode(errors="replace"))
    if size > MAX_NOTE_BYTES:
        raise InvalidRequest(
            f"a note has at most {MAX_NOTE_BYTES:,} bytes, got {size:,}",
            "Ingest long texts as documents: `dryad memory ingest PATH`.",
        )
    return as_text(content)


def _normalised(text: str) -> str:
    """Compose characters, end lines alike, and drop blanks nobody sees."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"[ \t\f\v]+\n", "\n", text + "\n")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _title(text: str) -> str:
    heading = _HEADING.search(text)
    return heading[1] if heading else _SENTENCE_END.split(text, maxsplit=1)[0]


def _weights(sentences: list[str]) -> list[float]:
    """Weigh sentences by how often their words are used in the text; length earns nothing.

    Source:
        Nenkova & Vanderwende, 2005 (SumBasic), without its redundancy step.
    """
    words = [_WORD.findall(sentence.casefold()) for sentence in sentences]
    counts = Counter(word for sentence in words for word in sentence)
    return [sum(counts[word] for word in found) / len(found) if found else 0.0 for found in words]


def _by_weight(weights: list[float]) -> list[int]:
    return sorted(range(len(weights)), key=lambda place: (-weights[place], place))


def _summary(sentences: list[str], weights: list[float]) -> str:
    chosen: list[int] = []
    length = -1
    for place in _by_weight(weights):
        if length + 1 + len(sentences[place]) <= SUMMARY_CHARACTERS:
            chosen.append(place)
            length += 1 + len(sentences[place])
    if not chosen:
        return _shortened(sentences[_by_weight(weights)[0]], SUMMARY_CHARACTERS)
    return " ".join(sentences[place] for place in sorted(chosen))


def _key_points(text: str, sentences: list[str], weights: list[float]) -> tuple[str, ...]:
    items = [match[1].strip() for match in _ITEM.finditer(text)]
    if not items:
        items = [sentences[place] for place in sorted(_by_weight(weights)[:KEY_POINTS])]
    distinct = dict.fromkeys(_shortened(item, SUMMARY_CHARACTERS) for item in items)
    return tuple(distinct)[:KEY_POINTS]


def _shortened(text: str, most: int) -> str:
    """Return `text` on one line of at most `most` characters, cut between words if it must be."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    return (text[: most - 1].rsplit(" ", 1)[0] or text[: most - 1]) + "…"
