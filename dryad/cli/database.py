"""`dryad db`: the schema of the database; works without a running API."""

from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from dryad.cli.output import Json, ListGroup, group, print_fields, print_rows, say
from dryad.foundation.database import Database, migrate
from dryad.foundation.environment import load
from dryad.foundation.errors import Refused


class _CurrentGroup(ListGroup):
    default = "current"


app = group("The schema of the database.", _CurrentGroup)


@app.command()
def current(*, as_json: Json = False) -> None:
    """Show the revision of the database and the newest this code knows."""
    with _database() as database:
        found = {"revision": migrate.current(database), "newest": migrate.head()}
    print_fields(found, as_json=as_json)


@app.command()
def upgrade() -> None:
    """Bring the database to the schema of this code; any number may try at once."""
    with _database() as database:
        say(f"the database is at revision {migrate.upgrade(database)}")


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="A revision, -1, or base for an empty database.")],
    *,
    lose_data: Annotated[
        bool, typer.Option("--lose-data", help="What that schema cannot hold is lost.")
    ] = False,
) -> None:
    """Bring the database back to an earlier schema."""
    if not lose_data:
        raise Refused(
            "what the earlier schema cannot hold would be lost",
            "Make a backup, then add --lose-data.",
        )
    with _database() as database:
        migrate.downgrade(database, revision)
        say(f"the database is at revision {migrate.current(database) or 'base'}")


@app.command()
def check(*, as_json: Json = False) -> None:
    """Name every difference between the database and this code; exit 1 when there is one."""
    with _database() as database:
        found = migrate.check(database)
    print_rows([{"difference": text} for text in found], ("difference",), as_json=as_json)
    if found:
        raise typer.Exit(1)
    say("the database is as this code expects it")


@contextmanager
def _database() -> Generator[Database]:
    settings, _ = load()
    with closing(
        Database(settings.database, pool_size=1, timeout=settings.database_timeout)
    ) as database:
        yield database
