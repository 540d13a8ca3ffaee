"""What a drill that was killed leaves goes with the next drill or sweep, and only that."""

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from dryad.foundation.database import Database, migrate
from dryad.foundation.errors import Conflict
from dryad.foundation.provision import provision
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.operations.backups.installed import backups_of, stores_of
from dryad.operations.backups.making import Purpose
from dryad.platform import drill_place, environment
from dryad.platform.instance import Instance
from tests.servers import clean_environment, postgres_tools, wait_for


@pytest.fixture
def live(database_url: str, tmp_path: Path) -> Settings:
    """An installation on each technology, with a set to drill with."""
    made = Settings(
        home=tmp_path / "live",
        database_url=SecretStr(database_url),
        prefect_api_url="http://127.0.0.1:9/api",  # another's: there is none to keep
        postgres_tools=postgres_tools(),
    )
    secrets = Secrets.create_or_read(made.secrets_path)
    database = Database(database_url)
    migrate.upgrade(database)
    provision(database, secrets)
    database.close()
    backups_of(made).create(Purpose())
    return made


def databases(live: Settings) -> set[str]:
    """Databases of drills on the server; none with SQLite."""
    url = live.database
    if url.startswith("sqlite"):
        return set()
    engine = create_engine(url)
    with engine.connect() as connection:
        named = text("SELECT datname FROM pg_database WHERE datname LIKE 'drill%'")
        found = set(connection.execute(named).scalars())
    engine.dispose()
    return found


def working_for(home: Path) -> list[int]:
    """Processes that were told this home."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DRYAD_HOME") == str(home):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@contextmanager
def bystanders(live: Settings) -> Generator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """What looks as if it were a drill's, and is somebody else's."""
    directory = live.home.parent / "dryad-drill-other"
    directory.mkdir()
    if not live.database.startswith("sqlite"):
        engine = create_engine(live.database, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE drill_other"))
        engine.dispose()
    process = subprocess.Popen(["sleep", "600"], env={"DRYAD_HOME": str(directory / "home")})
    try:
        yield directory, process
    finally:
        process.kill()
        process.wait()


def test_what_a_killed_drill_left_is_swept_and_nothing_else(live: Settings):
    environ = clean_environment() | environment.exported(live)
    command = [sys.executable, "-P", "-m", "dryad", "backup", "drill"]
    record = live.home / "run" / "drill.json"
    with bystanders(live) as (directory, other):
        before = databases(live)
        drill = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
        wait_for("the drill", record.exists)
        place = Path(json.loads(record.read_bytes())["place"])
        begun, stores = Instance(place / "home"), stores_of(live)
        wait_for(
            "its databases, or its processes",
            lambda: databases(live) > before or any(one.alive for one in begun.entries()),
            seconds=180,
        )
        assert not drill_place.sweep(live, stores), "a drill at work keeps what it has"
        with (
            pytest.raises(Conflict, match="another drill"),
            drill_place.scratch_installation(live, stores),
        ):
            pass
        drill.send_signal(signal.SIGKILL)
        drill.wait()
        assert databases(live) > before or working_for(place / "home")

        if live.database.startswith("sqlite"):
            assert drill_place.sweep(live, stores)  # as the keeper does
        else:
            with drill_place.scratch_installation(live, stores) as fresh:
                assert fresh.home.parent != place
                assert not place.exists()
        assert not working_for(place / "home")
        assert databases(live) == before
        assert {path.name for path in live.home.parent.glob("dryad-drill-*")} == {directory.name}
        assert other.poll() is None
        assert not drill_place.sweep(live, stores)


def test_a_record_that_names_something_else_removes_nothing(live: Settings, tmp_path: Path):
    precious = tmp_path / "precious"
    precious.mkdir()
    record = live.home / "run" / "drill.json"
    for place in (precious, live.home, Path("/"), live.home.parent / "x" / ".."):
        record.write_text(json.dumps({"place": str(place), "databases": {}}))
        assert drill_place.sweep(live, stores_of(live))
        assert precious.is_dir()
        assert (live.home / "secrets").is_dir()
        assert not record.exists()
