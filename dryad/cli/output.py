"""What commands print: data on stdout, as a table or as JSON; talk on stderr."""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tenant = Annotated[
    str, typer.Option("--tenant", help="Tenant to act for.", show_default="the key's own")
]

Row = Mapping[str, Any]


class ListGroup(TyperGroup):
    """A group that lists when no command is named: `dryad tasks` is `dryad tasks list`."""

    default = "list"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default where a command is missing."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class ShowGroup(ListGroup):
    """A group that shows when no command is named."""

    default = "show"


def group(purpose: str, cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(
        cls=cls,
        help=purpose,
        no_args_is_help=cls is TyperGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
    )


def say(text: str) -> None:
    """Tell a person something that is not data."""
    sys.stderr.write(f"{printable(text)}\n")


def talkative() -> bool:
    """Whether somebody watches: progress is shown only on a terminal."""
    return sys.stderr.isatty()


_MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")
"""A moment as the API writes it; a person needs no microseconds."""


def print_json(data: Any) -> None:
    """Print data for a program."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")


def print_text(text: str) -> None:
    """Print data for a person, at once; nothing in it steers the terminal."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()  # whoever reads a watch through a pipe hears of it now


def print_rows(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool) -> None:
    """Print a list: as JSON whole, else the columns named, cut to the terminal's width."""
    if as_json:
        print_json(list(rows))
        return
    table = [[cell(row.get(column)) for column in columns] for row in rows]
    titles = [column.replace("_", " ") for column in columns]
    widths = [max(map(len, column)) for column in zip(titles, *table, strict=True)]
    most = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 10_000
    for line in (titles, *table):
        joined = "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        sys.stdout.write(joined.rstrip()[:most] + "\n")


def print_fields(data: Row, *, as_json: bool) -> None:
    """Print one thing: as JSON whole, else a line per field that says something."""
    if as_json:
        print_json(data)
        return
    width = max((len(name) for name in data), default=0)
    for name, value in data.items():
        if value not in (None, "", [], {}):
            text = cell(value, most=2_000)
            sys.stdout.write(f"{name.replace('_', ' ').ljust(width)}  {text}\n")


def cell(value: Any, *, most: int = 60) -> str:
    """Return a value as one short line."""
    if isinstance(value, str):
        text = _MOMENT.sub(r"\1 \2Z", value)
    elif value is None:
        text = ""
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):  # pyright: ignore[reportUnknownVariableType]
        text = ", ".join(value)  # pyright: ignore[reportUnknownArgumentType]
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def printable(text: str) -> str:
    """Replace what would steer a terminal; lines and tabs stay."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text
    )
