"""What a validation finds on a sound installation, and on one of which a part is broken."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dryad.bootstrap import Services
from dryad.foundation import environment as reader
from dryad.foundation.database import migrate
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.provision import provision
from dryad.foundation.validation import Validation
from dryad.gates import validate_levels


class NoForms:
    """Nobody answers in a form."""

    def stored_answer(self, run: Any, key: str) -> None:
        return None


@pytest.fixture
def services(database_url: str, tmp_path: Path) -> Generator[Services]:
    """An installation as `dryad up` prepares it, once on each technology."""
    environ = {"DRYAD_HOME": str(tmp_path / "home"), "DRYAD_DATABASE_URL": database_url}
    settings, _ = reader.load(environ, directory=tmp_path)
    with closing(Services(settings, answers=NoForms(), component="test")) as opened:
        migrate.upgrade(opened.database)
        provision(opened.database, opened.secrets)
        yield opened


def causes(found: list[Validation]) -> dict[str, str]:
    return {f.check: f.cause for one in found for f in one.findings if f.cause}


def left(services: Services) -> dict[str, int]:
    """Rows by table, but audit: what a validation may not add to."""
    tables = ("tasks", "cases", "votes", "reviewers", "documents", "passages", "grants", "recent")
    with services.database.reading() as session:
        return {
            table: session.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in tables
        }


def test_a_sound_installation_holds_everything_and_is_left_as_it_was(services: Services):
    validate_levels(services, [0])  # the tenant of the validation exists from here on
    before = left(services)
    found = validate_levels(services)
    assert causes(found) == {}
    assert [(one.level, one.percent) for one in found] == [(n, 100) for n in range(4)]
    services.archivist.purge()
    assert left(services) == before
    assert sum(f.seconds for one in found for f in one.findings) < 60
    assert services.reviewers.single_user()


def test_it_holds_with_reviewers_enrolled_and_leaves_none_behind(services: Services):
    services.reviewers.add("ada", by="test")
    assert causes(validate_levels(services, [3])) == {}
    assert [reviewer.id for reviewer in services.reviewers.list()] == ["ada"]


def test_what_is_broken_is_named_with_the_command_that_mends_it(services: Services):
    services.audit.append("default", "told", actor="test", subject="x")
    with services.database.transaction() as session:
        session.execute(text("UPDATE audit SET actor = 'forged' WHERE tenant = 'default'"))
        session.execute(text("DROP TABLE votes"))
        session.execute(text("DROP INDEX ix_tasks_tenant_created"))
    found = validate_levels(services)
    assert "default: row 1 was changed" in causes(found)["every audit chain is whole"]
    assert "ix_tasks_tenant_created" in causes(found)["the schema is this code's"]
    assert "votes" in causes(found)["a rejected approval prevents the action"]
    (foundation, *_, orchestration) = found
    assert foundation.percent == 50
    assert orchestration.percent == 50
    mends = [finding.mend for finding in foundation.findings if finding.cause]
    assert mends == ["dryad db upgrade", "dryad audit verify"]


def test_only_the_levels_named_are_looked_at(services: Services):
    assert [one.level for one in validate_levels(services, [2, 0, 2])] == [0, 2]
    with pytest.raises(InvalidRequest, match="no level 7"):
        validate_levels(services, [7])
