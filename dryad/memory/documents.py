"""What may be shelved, and what shelving makes of it before anything is written."""

from typing import NamedTuple

from dryad.execution.memories import Document
from dryad.foundation.canonical import canonical_json, digest
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import checked_name
from dryad.memory.passages import Piece, cut
from dryad.memory.words import Bag, bag

MAX_DOCUMENT_BYTES = 5_000_000


class Prepared(NamedTuple):
    """A document ready to be written: everything slow was done before the transaction."""

    document: Document
    content_hash: str
    pieces: list[Piece]
    bags: list[Bag]
    vectors: list[bytes] | None = None
    """Packed, in the order of the pieces; None: made later, or never."""
    near: tuple[str, float] | None = None
    """What its owner has already that is almost the same, and how alike they are."""

    @property
    def told(self) -> list[str]:
        """What each piece says where it stands: title, section and text."""
        title, text = self.document.title, self.document.text
        return [f"{title}\n{p.section}\n{text[p.start : p.stop]}" for p in self.pieces]


def prepare(document: Document) -> Prepared:
    """Check a document and do everything slow before a transaction begins.

    Raises:
        InvalidRequest: the text is empty, too long, or not storable; a name is malformed.
    """
    _check(document)
    unread = Prepared(document, content_hash(document.text), cut(document.text), [])
    return unread._replace(bags=[bag(text) for text in unread.told])


def content_hash(text: str) -> str:
    """Return the sha256 of a text, white space and case aside."""
    return digest(" ".join(text.split()).casefold())


def _check(document: Document) -> None:
    if not document.text.strip():
        raise InvalidRequest(f"the document {document.title[:80]!r} has no text")
    for what, value, most in (
        ("text", document.text, MAX_DOCUMENT_BYTES),
        ("title", document.title, 1_000),
        ("origin", document.origin, 1_000),
    ):
        size = _size(value, what=what)
        if size > most:
            raise InvalidRequest(f"the {what} of a document has at most {most:,} bytes, got {size}")
    if document.agent:
        checked_name(document.agent, what="an agent")
    checked_name(document.category, what="a category")
    try:
        canonical_json(dict(document.details))
    except TypeError as error:
        raise InvalidRequest(f"the details of a document must be JSON: {error}") from error


def _size(value: str, *, what: str) -> int:
    """Return bytes in UTF-8 of what a database can store."""
    if "\0" in value:
        raise InvalidRequest(f"the {what} holds a NUL character: it is not text")
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the {what} is not valid Unicode: {error.reason}") from error
