"""Files of formats that need a parser, read in the sandbox, many at a time."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import orjson

from dryad.execution.sandbox.port import SandboxResult

Format = Literal["html", "pdf", "docx", "csv", "json"]

RunCode = Callable[[str, Mapping[str, bytes]], Awaitable[SandboxResult]]
"""Runs a Python program beside files, in the sandbox."""


@dataclass(frozen=True)
class Parsed:
    """What a file says, as Markdown; or `reason`, why it says nothing."""

    title: str = ""
    text: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Parsers:
    """The parsers of an installation."""

    run_code: RunCode

    async def parse(self, files: Mapping[str, tuple[Format, bytes]]) -> dict[str, Parsed]:
        """Read files together; where they bring the sandbox down, each alone.

        Args:
            files: Format and content by any name.

        Raises:
            Unavailable: there is no sandbox.
        """
        if not files:
            return {}
        numbered = {f"file{place}": name for place, name in enumerate(files)}
        order = {number: files[name][0] for number, name in numbered.items()}
        contents = {number: files[name][1] for number, name in numbered.items()}
        ran = await self.run_code(_program(), {**contents, "order.json": orjson.dumps(order)})
        if ran.exit_code == 0 and "answers.json" in ran.files:
            answers: dict[str, Any] = orjson.loads(ran.files["answers.json"])
            return {name: _parsed(answers[number]) for number, name in numbered.items()}
        if len(files) == 1:
            return dict.fromkeys(files, Parsed(reason=_why(ran)))
        parsed: dict[str, Parsed] = {}
        for name, file in files.items():
            parsed |= await self.parse({name: file})
        return parsed


def _parsed(answer: Any) -> Parsed:
    """Return an answer from the sandbox: made there, so believed in nothing but its shape."""
    if "error" in answer:
        return Parsed(reason=" ".join(str(answer["error"]).split())[:300])
    return Parsed(str(answer["title"]), str(answer["text"]))


def _why(ran: SandboxResult) -> str:
    if ran.violations:
        return f"its parser met a limit of the sandbox: {', '.join(ran.violations)}"
    last = ran.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    return f"its parser failed: {last[0][:200]}"


@cache
def _program() -> str:
    return Path(__file__).with_name("program.py").read_text()
