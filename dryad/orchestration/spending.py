"""Accounts as a page for people: a table, and a bar for every cap."""

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence
from decimal import Decimal

from dryad.foundation.accounts import Account, Line

_WIDTH, _HEIGHT = 200, 12
_SPENT, _RESERVED, _LEFT = b"\x2f\x6f\xdb", b"\xa8\xc5\xf2", b"\xe4\xe7\xec"


def spending_page(accounts: Sequence[Account]) -> str:
    """Return a markdown page: what was spent (dark), is held (light) and is left, by account."""
    rows = [row for account in accounts for row in _rows(account)]
    if not rows:
        return "Nothing was used yet, and nothing is limited."
    head = "| account | resource | spent | held | cap | |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows])


def bar(line: Line) -> bytes:
    """Return a line with a cap as a PNG of 200 × 12 pixels: spent, held, left."""
    cap = line.cap or Decimal(1)
    spent = _pixels(line.spent, cap)
    held = min(_pixels(line.spent + line.reserved, cap) - spent, _WIDTH - spent)
    row = b"\0" + _SPENT * spent + _RESERVED * held + _LEFT * (_WIDTH - spent - held)
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(row * _HEIGHT)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _rows(account: Account) -> Iterator[str]:
    for resource, line in account.lines.items():
        if line.cap is None and not line.spent and not line.reserved:
            continue
        picture = ""
        if line.cap:
            used = f"{line.spent / line.cap:.0%}"
            image = base64.b64encode(bar(line)).decode()
            picture = f"![{used}](data:image/png;base64,{image}) {used}"
        cap = "no limit" if line.cap is None else f"{line.cap:,f}"
        yield (
            f"| `{account.name}` | {resource} | {line.spent:,f} | {line.reserved:,f} | {cap} "
            f"| {picture} |"
        )


def _pixels(amount: Decimal, of: Decimal) -> int:
    return min(_WIDTH, int(_WIDTH * amount / of))


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
