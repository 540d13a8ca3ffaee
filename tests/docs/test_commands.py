"""Every command has help and a page, and what the documentation tells to type exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.generator.cli import commands
from dryad.cli.main import COMMANDS, load

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]


def told(page: Path) -> Iterator[str]:
    """Yield every `dryad …` in the code of a page, as one line each."""
    text = page.read_text()
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for written in block.splitlines():
            line = re.sub(r'.*"\$\((.*)\)"', r"\1", written.split(" #")[0])  # eval "$(…)"
            if found := re.search(r"(?<![\w/.-])dryad (.*)", line):
                yield found[1]
    without_blocks = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`(?:uv run )?dryad ([a-z][^`]*)`", without_blocks)


def problem(line: str) -> str:
    """Return what is wrong with a command line as documented, or ''."""
    words = shlex.split(line)
    if words[0] not in COMMANDS:
        return f"no command {words[0]!r}"
    command: Any = load(words.pop(0))
    while inner := getattr(command, "commands", None):
        named = words and re.fullmatch(r"[a-z][a-z-]*", words[0])
        name = words.pop(0) if named else getattr(command, "default", None)
        if name is None:
            return ""  # the group as such
        if name not in inner:
            return f"no command {name!r} in {line!r}"
        command = inner[name]
    known = {option for parameter in command.params for option in parameter.opts}
    unknown = {word.partition("=")[0] for word in words if word.startswith("-")} - known
    return f"no option {sorted(unknown)} in {line!r}" if unknown - {"-"} else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_a_page_names_exists(page: Path):
    wrong = [f"{line!r}: {what}" for line in told(page) if (what := problem(line))]
    assert wrong == []


def test_the_pages_name_commands():
    assert sum(len(list(told(page))) for page in PAGES) > 20


@pytest.mark.parametrize(
    "line", ["nothing", "tasks nothing", "run TEXT --nothing", "answer 1 --aprove"]
)
def test_a_command_that_does_not_exist_is_noticed(line: str):
    assert problem(line).startswith("no ")


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=str)
def test_every_command_says_what_it_is_for(path: str, command: Any):
    assert (command.help or "").strip(), path
