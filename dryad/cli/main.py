"""The `dryad` command: which commands there are, and how an error looks.

A command's module is imported when the command is called, so that `dryad --help` is quick.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("start.up", "Start this installation: Prefect, API, keeper, worker."),
    "down": ("start.down", "Stop this installation in order."),
    "status": ("start.status", "Show which processes of this installation run."),
    "env": ("start.env", "Print exports for your own `prefect` commands."),
    "keeper": ("start.keeper", "Run the keeper alone; `dryad up` does it for you."),
    "run": ("tasks.run", "Submit a task."),
    "tasks": ("tasks", "List, show and cancel tasks."),
    "decisions": ("decisions", "Who does a task, and why."),
    "orchestration": ("orchestration", "Train, measure and correct the complexity score."),
    "inbox": ("review.inbox", "List the questions that wait for a person."),
    "reviewers": ("reviewers", "Who may answer questions."),
    "answer": ("review.answer", "Answer a question, once and for good."),
    "agents": ("agents", "Who does the work."),
    "tools": ("tools", "What agents may call, and who was granted what."),
    "memory": ("memory", "What agents can find and cite."),
    "sandbox": ("sandbox", "Run code where it can do no harm."),
    "validate": ("validate", "Prove that each level does what it is for."),
    "backup": ("backup", "Keep sets of everything, and restore from them."),
    "policies": ("policies", "When a person must be asked."),
    "budget": ("budgets", "What may be used, and was used."),
    "stop": ("stops.stop", "Set a kill switch."),
    "lift": ("stops.lift", "Lift a kill switch."),
    "health": ("health", "Show how the installation is."),
    "logs": ("logs", "Read the logs from their end."),
    "audit": ("audit", "Prove and export who decided what."),
    "bill": ("bill", "Which packages are installed, signed."),
    "tenants": ("tenants", "Whose data there is."),
    "keys": ("keys", "Who may call the API."),
    "config": ("config", "Settings in force, and where they come from."),
    "db": ("database", "The schema of the database."),
}
"""Command → where it lives (`module`, or `module.command`), and what it is for."""


class LazyGroup(TyperGroup):
    """Knows every command's name and purpose, and imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command by name, then load it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest


def load(name: str) -> Any:
    """Import one command."""
    module, _, inner = COMMANDS[name][0].partition(".")
    found: Any = get_command(import_module(f"dryad.cli.{module}").app)
    found = found.commands[inner] if inner else found
    found.name = name
    return found


def root() -> LazyGroup:
    """Return the command with all others below it."""
    return LazyGroup(
        name="dryad",
        help="DRYAD: a governed multi-agent platform. Begin with `dryad up --demo`.",
        commands={
            name: TyperCommand(name, help=purpose, rich_markup_mode=None)
            for name, (_, purpose) in COMMANDS.items()
        },
        no_args_is_help=True,
        rich_markup_mode=None,
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its status."""
    from dryad.foundation.errors import DryadError  # noqa: PLC0415 - after `--help` was quick

    try:
        root().main(arguments, prog_name="dryad")
    except DryadError as error:
        sys.stderr.write(f"error: {one_line(error.message)}\n  → {one_line(error.next_step)}\n")
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    sys.exit(0)


def one_line(text: str) -> str:
    """Return text for a terminal: one line, nothing in it that steers the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)
