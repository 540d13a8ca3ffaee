"""`dryad sandbox`: run code where it can do no harm, here and without a running API."""

import asyncio
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from dryad.cli.output import Json, ListGroup, group, print_json, print_rows, say
from dryad.foundation import environment as reader


class _StatusGroup(ListGroup):
    default = "status"


app = group("Run code where it can do no harm.", _StatusGroup)


@app.command()
def status(*, as_json: Json = False) -> None:
    """Prove each rung of the ladder by a run, strongest first; exit 1 when none works."""
    from dryad.adapters import sandboxes  # noqa: PLC0415 - everything hangs on it

    rungs = [
        {
            "rung": rung.name,
            "works": rung.sandbox is not None,
            "guarantees": sorted(rung.sandbox.guarantees) if rung.sandbox else [],
            "reason": rung.reason,
        }
        for rung in sandboxes()
    ]
    columns = ("rung", "works", "reason" if not as_json else "guarantees")
    print_rows(rungs, columns, as_json=as_json)
    if not any(rung["works"] for rung in rungs):
        raise typer.Exit(1)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A .py or .sh file.", exists=True, dir_okay=False)],
    *,
    files: Annotated[
        list[Path] | None,
        typer.Option(help="Put beside the script, by its own name.", exists=True, dir_okay=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Put the files it made below this directory.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a script; its output is printed, and it ends as the script ended."""
    from dryad.adapters import choose_sandbox, sandbox_limits  # noqa: PLC0415 - as above
    from dryad.execution.sandbox.port import SandboxRequest  # noqa: PLC0415

    settings, _ = reader.load()
    limits = sandbox_limits(settings)
    language = "shell" if file.suffix == ".sh" else "python"
    beside = {path.name: path.read_bytes() for path in files or ()}
    request = SandboxRequest(code=file.read_text(), language=language, files=beside, limits=limits)
    result = asyncio.run(choose_sandbox(settings).run(request))
    if out is not None:
        for name, content in result.files.items():
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    if as_json:
        sizes = {name: len(content) for name, content in result.files.items()}
        print_json(asdict(replace(result, files={})) | {"files": sizes})
    else:
        sys.stdout.write(result.stdout)
        sys.stderr.write(result.stderr)
        for note in (*result.violations, *result.notes):
            say(f"sandbox ({result.rung}): {note}")
    raise typer.Exit(0 if result.ok else 1)
