"""Every command of the command line: what it is for, its arguments and options."""

from collections.abc import Iterator
from typing import Any

from docs.generator.markdown import first_paragraph, page, table
from docs.generator.settings import type_name
from dryad.cli.main import COMMANDS, load

INTRODUCTION = """\
Data goes to stdout, talk to stderr; `--json` stands on whatever lists or shows. The exit status is
0 for done, 1 for refused or failed, 2 for a wrong request. The commands talk to the DRYAD API at
`DRYAD_API_URL` with the key `DRYAD_API_KEY`; on the machine of the installation both are found in
its home. `dryad COMMAND --help` says the same as this page."""


def cli() -> str:
    """Return the page of all commands."""
    parts: list[str] = []
    for path, command in commands():
        parts += [f"## `dryad {path}`", first_paragraph(command.help)]
        if rows := [_row(parameter) for parameter in command.params if not _hidden(parameter)]:
            parts += [table(("Argument or option", "Default", "Meaning"), rows)]
    return page("Command line", INTRODUCTION, *parts)


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with its words."""
    for name in COMMANDS:
        yield from _leaves(name, load(name))


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    else:
        for name, child in inner.items():
            yield from _leaves(f"{path} {name}", child)


def _hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False)) or "--help" in parameter.opts


def _row(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`", _default(parameter), parameter.help or ""
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    kind = "" if parameter.is_flag else f" {type_name(parameter.type_descriptor.annotation)}"
    return names + kind, _default(parameter), parameter.help or ""


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    shown = parameter.show_default
    if isinstance(shown, str):
        return shown
    value = parameter.default
    return "—" if value in (None, "", False, (), []) or callable(value) else f"`{value}`"
