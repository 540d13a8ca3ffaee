"""Tell text from bytes that only look like it."""

import re

from dryad.foundation.errors import InvalidRequest

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_UNSEEN = re.compile(r"<(script|style|template)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_HINT = "Extract its text first, or keep the file where it is and note where."


def as_text(content: str | bytes) -> str:
    """Return `content` as text: bytes are UTF-8, or UTF-16 with its mark.

    Raises:
        InvalidRequest: it is binary, in another encoding, or holds half a character.
    """
    try:
        if isinstance(content, bytes):
            encoding = next((_MARKS[mark] for mark in _MARKS if content.startswith(mark)), "utf-8")
            content = content.decode(encoding)
        content.encode()
    except UnicodeError as error:
        reason = f"{error.reason} at {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise InvalidRequest(f"binary, or not in UTF-8: {reason or error}", _HINT) from error
    if control := _CONTROL.search(content):
        raise InvalidRequest(f"binary: it holds the control character {control[0]!r}", _HINT)
    return content


def readable(content: bytes, kind: str) -> str:
    """Return what a server sent as text; of a web page, what a reader sees, as Markdown.

    Raises:
        InvalidRequest: it is no text.
    """
    text = as_text(content)
    if kind not in {"text/html", "application/xhtml+xml"}:
        return text
    from markdownify import markdownify  # noqa: PLC0415 - slow, and only readers of pages need it

    return markdownify(_UNSEEN.sub("", text)).strip()
