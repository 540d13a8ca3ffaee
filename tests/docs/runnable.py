"""The shell blocks of the documentation that say of themselves that they run.

A block is marked by the line `<!-- run -->` before its fence. The marked blocks of a page run one
after another in one shell that stops at the first failure, as a reader would type them.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = "<!-- run -->"


def blocks(text: str) -> list[str]:
    """Return the marked blocks of a page, in order.

    Raises:
        ValueError: a mark stands before anything but a `bash` block.
    """
    found = re.findall(rf"^{MARK}\n```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    if len(found) != text.count(MARK):
        raise ValueError(f"{text.count(MARK)} marks, {len(found)} bash blocks behind them")
    return found


def script(page: Path) -> str:
    """Return the marked blocks of a page as one script that shows what it does.

    A line that begins with `!` must fail: the shell itself would not stop at one that does not.
    """
    found = blocks(page.read_text())
    return "\n".join(
        ["set -euo pipefail", *(f"set -x\n{b}{{ set +x; }} 2>&-" for b in map(_strict, found))]
    )


def _strict(block: str) -> str:
    return re.sub(r"^! (.*)$", r"(! \1)", block, flags=re.MULTILINE)


def pages() -> list[Path]:
    """Return the pages that have marked blocks."""
    candidates = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in candidates if MARK in page.read_text()]
