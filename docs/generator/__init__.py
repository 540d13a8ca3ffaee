"""Pages that are written by the code they describe: one function from the code to its text each."""

from collections.abc import Callable
from pathlib import Path

from docs.generator.cli import cli
from docs.generator.deployments import deployments
from docs.generator.errors import errors
from docs.generator.settings import dotenv, settings
from docs.generator.surface import surface
from docs.generator.tables import tables

ROOT = Path(__file__).parents[2]

PAGES: dict[str, Callable[[], str]] = {
    ".env.example": dotenv,
    "docs/internals/tables.md": tables,
    "docs/reference/cli.md": cli,
    "docs/reference/deployments.md": deployments,
    "docs/reference/errors.md": errors,
    "docs/reference/settings.md": settings,
    "docs/reference/surface.md": surface,
}
"""Where each page is committed; a test asserts that it is what would be written."""
