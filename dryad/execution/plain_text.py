"""Tell text from bytes that only look like it."""

import re

from dryad.foundation.errors import InvalidRequest

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
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
