"""Notes and dialogues: texts that are summed up or cut into turns before they are kept."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, ConfigDict, Field

from dryad.api.auth import Rememberer
from dryad.api.routes.memory import Text
from dryad.api.shapes import Incoming, Line, Name, Outgoing, Page
from dryad.execution.coordinator import Asker
from dryad.execution.memories import Provenance, SourceType
from dryad.execution.memory_policy import RESERVED
from dryad.execution.scribe import MAX_BATCH, Jot, Noted
from dryad.memory.dialogues import MOST_TURNS, Turn

router = APIRouter(prefix="/memory", tags=["memory"])

DialogueName = Annotated[
    str, Path(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$", description="Its name")
]


class JotIn(Incoming):
    """A text to be noted, 1 byte to 1 MB; it is untrusted."""

    text: Text
    title: str = Field(default="", max_length=1_000)
    origin: str = Field(default="", max_length=1_000)
    source_type: SourceType = "observation"
    priority: Annotated[int, Field(ge=1, le=10)] = 5


class NotesIn(Incoming):
    """Texts of one agent, each noted or refused for itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"agent": "scout", "notes": [{"text": "The lamp is green."}]}]
        }
    )

    agent: Name
    notes: Annotated[list[JotIn], Field(min_length=1, max_length=MAX_BATCH)]


class NoteOut(Outgoing):
    """What was made of a text and where it went; or `error`, why there is no note."""

    error: str
    title: str = ""
    summary: str = ""
    key_points: tuple[str, ...] = ()
    language: str = ""
    entities: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    confidence: float = 0.0
    provenance: Provenance = "untrusted"
    key: str | None = None
    expires: datetime | None = None
    document: str | None = None
    duplicate_of: str | None = None
    near: str | None = None
    likeness: float = 0.0


class TurnIn(Incoming):
    """What somebody said, and when."""

    speaker: Line
    text: Text
    at: AwareDatetime


class DialogueIn(Incoming):
    """The turns of a dialogue from its beginning, in order."""

    turns: Annotated[list[TurnIn], Field(min_length=1, max_length=MOST_TURNS)]
    agent: Name | None = Field(default=None, description="Owner; null: everybody in the tenant")


class DialogueOut(Outgoing):
    """How many windows it has."""

    windows: int


class WindowOut(Outgoing):
    """Turns `[first, last]` of a dialogue, from 0."""

    dialogue: str
    first: int
    last: int
    text: str
    score: float
    provenance: Provenance
    document: str


class WindowsOut(Page[WindowOut]):
    """Windows, and how they were looked for."""

    searched_by: str = Field(description="`words`, or the model that found by meaning as well")
    degraded: str = Field(description="Why a mirror was done without; the ledger answered instead")


@router.post("/notes")
def note(body: NotesIn, access: Rememberer) -> Page[NoteOut]:
    """Note texts: named, summed up, compared with earlier notes, and kept; one answer for each."""
    if any(one.origin.startswith(RESERVED) for one in body.notes):
        access.caller.require("admin")
    jots = [
        Jot(one.text, one.source_type, one.origin, one.title, priority=one.priority)
        for one in body.notes
    ]
    answers = access.edge.services.scribe.note_all(Asker(access.tenant, body.agent), jots)
    return Page[NoteOut](items=[_shown(answer) for answer in answers])


@router.put("/dialogues/{dialogue}")
def keep_dialogue(dialogue: DialogueName, body: DialogueIn, access: Rememberer) -> DialogueOut:
    """Keep a dialogue; sent again with more turns, what is new is added."""
    turns = [Turn(turn.speaker, turn.text, turn.at) for turn in body.turns]
    windows = access.edge.services.dialogues.remember(
        access.tenant, dialogue, turns, agent=body.agent or ""
    )
    return DialogueOut(windows=windows)


@router.get("/dialogues")
def search_dialogues(
    access: Rememberer,
    q: Annotated[str, Query(max_length=10_000, description="Any text; it has no syntax")],
    limit: Annotated[int, Query(ge=1, le=100)] = 5,
) -> WindowsOut:
    """Find what was said, by what stands beside it too; best first."""
    services = access.edge.services
    found = services.dialogues.search(access.tenant, q, limit)
    return WindowsOut(
        items=[WindowOut.model_validate(window) for window in found],
        searched_by=services.librarian.searches_by,
        degraded=services.librarian.degraded,
    )


def _shown(answer: Noted) -> NoteOut:
    if answer.note is None or answer.stored is None:
        return NoteOut(error=answer.error)
    note, stored = answer.note, answer.stored
    return NoteOut(
        error="",
        title=note.title,
        summary=note.summary,
        key_points=note.key_points,
        language=note.about.language,
        entities=note.about.entities,
        topics=note.about.topics,
        confidence=note.about.confidence,
        provenance=note.provenance,
        key=stored.key,
        expires=stored.expires,
        document=stored.id,
        duplicate_of=stored.duplicate_of,
        near=stored.near,
        likeness=stored.likeness,
    )
