"""What runs inside the sandbox: reads the files named in `order.json`, writes `answers.json`.

Sent there as text, so it imports nothing of DRYAD. Each format becomes Markdown whose headings are
what a passage is cited by: a page, a section, a range of rows.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

MOST_CHARACTERS = 5_000_000
ROWS_A_SECTION = 100
CELL_CHARACTERS = 10_000

Read = tuple[str, str]
"""Title, or '', and Markdown."""


def html(content: bytes) -> Read:
    """What a reader of a page sees; scripts and styles are no part of its text."""
    from bs4 import BeautifulSoup  # noqa: PLC0415 - each format imports what it needs
    from markdownify import MarkdownConverter  # noqa: PLC0415

    page = BeautifulSoup(content, "html.parser")
    title = page.title.get_text(" ", strip=True) if page.title else ""
    for element in page(["head", "script", "style", "template", "noscript", "svg"]):
        element.decompose()
    return title, MarkdownConverter(heading_style="ATX").convert_soup(page).strip()


def pdf(content: bytes) -> Read:
    """The text of each page below its number."""
    from pypdf import PdfReader  # noqa: PLC0415

    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise ValueError("it is encrypted; remove its password first")
    pages = [(page.extract_text() or "").strip() for page in reader.pages]
    if not any(pages):
        raise ValueError("it has no text: are its pages images? Have their text recognised first")
    told = [f"# Page {number}\n\n{_plain(text)}" for number, text in enumerate(pages, 1) if text]
    return str(getattr(reader.metadata, "title", None) or ""), "\n\n".join(told)


def docx(content: bytes) -> Read:
    """A document by its styles: headings, lists, tables; no images."""
    import mammoth  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

    reader: Any = mammoth
    unseen = reader.images.img_element(_no_image)
    found = reader.convert_to_html(io.BytesIO(content), convert_image=unseen)
    return html(found.value.encode())


def _no_image(_image: object) -> dict[str, str]:
    return {"src": ""}


def table(content: bytes) -> Read:
    """Rows as list items, each cell beside its column's name: a passage tells what it holds."""
    text = _text(content)
    csv.field_size_limit(MOST_CHARACTERS)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:20_000], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = [row for row in csv.reader(io.StringIO(text), dialect) if any(map(str.strip, row))]
    if not rows:
        raise ValueError("empty")
    names = [name.strip() or f"column {place}" for place, name in enumerate(rows[0], 1)]
    if len(rows) == 1:
        return "", "- " + "; ".join(names)
    return "", "\n\n".join(_sections(names, rows[1:]))


def document(content: bytes) -> Read:
    """JSON as lines of `path: value`; a list of objects as rows; JSON lines as such a list."""
    text = _text(content)
    try:
        found: Any = json.loads(text)
    except json.JSONDecodeError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    rows = cast("list[Any]", found) if isinstance(found, list) else []
    if rows and all(isinstance(item, dict) for item in rows):
        items = ["- " + "; ".join(f"{p}: {v}" for p, v in _leaves(item)) for item in rows]
        groups = range(0, len(items), ROWS_A_SECTION)
        return "", "\n\n".join(
            f"# Items {start + 1}-{min(start + ROWS_A_SECTION, len(items))}\n\n"
            + "\n".join(items[start : start + ROWS_A_SECTION])
            for start in groups
        )
    title = cast("dict[str, Any]", found).get("title") if isinstance(found, dict) else ""
    lines = "\n".join(f"- {path}: {value}" for path, value in _leaves(found))
    return (title if isinstance(title, str) else ""), lines


def _sections(names: list[str], rows: list[list[str]]) -> Iterator[str]:
    for start in range(0, len(rows), ROWS_A_SECTION):
        some = rows[start : start + ROWS_A_SECTION]
        lines: list[str] = []
        for row in some:
            cells = zip([*names, *("more" for _ in row[len(names) :])], row, strict=False)
            lines.append("- " + "; ".join(f"{n}: {_cell(c)}" for n, c in cells if c.strip()))
        yield f"# Rows {start + 1}-{start + len(some)}\n\n" + "\n".join(lines)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        if items and not any(isinstance(item, dict | list) for item in items):
            yield path or "items", ", ".join(map(_cell, items))
        else:
            for number, item in enumerate(items):
                yield from _leaves(item, f"{path}[{number}]")
    elif value not in {None, ""}:
        yield path or "value", _cell(value)


def _cell(value: Any) -> str:
    told = value if isinstance(value, str) else json.dumps(value)
    return " ".join(told.split())[:CELL_CHARACTERS]


def _plain(text: str) -> str:
    """Let no line of a page be taken for a heading."""
    return "\n".join(f"\\{line}" if line.startswith("#") else line for line in text.splitlines())


def _text(content: bytes) -> str:
    marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    return content.decode(marks.get(content[:2], "utf-8-sig"))


READERS: dict[str, Callable[[bytes], Read]] = {
    "html": html,
    "pdf": pdf,
    "docx": docx,
    "csv": table,
    "json": document,
}


def answer(kind: str, content: bytes) -> dict[str, str]:
    """Read one file; whatever a parser raises is the reason why it stays out."""
    try:
        title, text = READERS[kind](content)
    except UnicodeDecodeError as error:
        return {"error": f"binary, or not in UTF-8: {error.reason} at {error.start}"}
    except RecursionError:
        return {"error": "its elements are nested too deeply"}
    except Exception as error:  # noqa: BLE001 - recorded as the outcome of the file
        return {"error": f"cannot be read as {kind}: {error or type(error).__name__}"[:300]}
    if len(text) > MOST_CHARACTERS:
        return {"error": f"its text is too long: {len(text):,} characters"}
    return {"title": " ".join(title.split())[:200], "text": text}


def main() -> None:
    """Read every file of the order."""
    order: dict[str, str] = json.loads(Path("order.json").read_text())
    answers = {name: answer(kind, Path(name).read_bytes()) for name, kind in order.items()}
    Path("answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
