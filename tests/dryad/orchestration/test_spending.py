"""What was used is shown as it is: as numbers, and as a picture whose pixels agree."""

import base64
import re
import struct
import zlib
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from dryad.foundation.accounts import Account, Line
from dryad.orchestration.spending import bar, spending_page


def pixels(png: bytes) -> list[bytes]:
    """Read the first row of an RGB picture, by the format's own rules."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, width = 8, b"", 0
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            kind + body
        )
        width = struct.unpack(">I", body[:4])[0] if kind == b"IHDR" else width
        data += body if kind == b"IDAT" else b""
        at += 12 + size
    row = zlib.decompress(data)[1 : 1 + 3 * width]
    return [row[place : place + 3] for place in range(0, len(row), 3)]


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 1000))
def test_a_bar_is_as_long_as_what_was_used(spent: int, reserved: int, cap: int):
    row = pixels(bar(Line(Decimal(cap), Decimal(spent), Decimal(reserved))))
    dark, light = row.count(b"\x2f\x6f\xdb"), row.count(b"\xa8\xc5\xf2")
    assert len(row) == 200
    assert dark == min(200, 200 * spent // cap)
    assert dark + light == min(200, 200 * (spent + reserved) // cap)


def test_what_is_neither_used_nor_limited_is_left_out():
    nothing = Line(None, Decimal(0), Decimal(0))
    lines = {
        "tokens": Line(Decimal(1000), Decimal(250), Decimal(0)),
        "cost_usd": Line(None, Decimal("0.5"), Decimal(0)),
        "requests": nothing,
    }
    page = spending_page([Account("acme", lines, None)])
    assert "| `acme` | tokens | 250 | 0 | 1,000 | ![25%]" in page
    assert "| `acme` | cost_usd | 0.5 | 0 | no limit |" in page
    assert "requests" not in page
    (image,) = re.findall(r"base64,([^)]+)", page)
    assert pixels(base64.b64decode(image)).count(b"\x2f\x6f\xdb") == 50
    assert spending_page([Account("acme", {"requests": nothing}, None)]).startswith("Nothing")
