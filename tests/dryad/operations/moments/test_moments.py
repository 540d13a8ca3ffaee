"""Back to three moments, with a real PostgreSQL that archives; and what is refused, before."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.errors import Refused, Unavailable
from dryad.foundation.stops import Stops
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.sets import Backups, Listed
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.targets import DirectoryTarget
from dryad.operations.moments.archive import WalArchive
from dryad.operations.moments.base import Bases
from dryad.operations.moments.check import arrived, check
from dryad.operations.moments.pruning import Moments
from dryad.operations.moments.rewind import set_of
from dryad.operations.restores.loss import loss
from dryad.operations.restores.offline import restore_offline
from tests import servers, services
from tests.dryad.cli.conftest import Done, call
from tests.dryad.operations.conftest import House, filled
from tests.dryad.operations.restores.test_restore import anchor, audit


@dataclass
class Cluster:
    """An installation whose two databases are in one archiving cluster."""

    house: House
    archive: WalArchive
    bases: Bases
    backups: Backups
    window: timedelta = timedelta(days=7)
    moments: list[tuple[datetime, dict[str, list[Any]]]] = field(default_factory=list)

    def rows(self) -> dict[str, list[Any]]:
        """Every row of every table of both databases."""
        found: dict[str, list[Any]] = {}
        for url in (self.house.stores.database, str(self.house.stores.prefect_database)):
            engine = create_engine(url)
            with engine.connect() as connection:
                query = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                for name in connection.execute(query).scalars():
                    rows = connection.execute(text(f'SELECT * FROM "{name}"'))
                    key = f"{engine.url.database}.{name}"
                    found[key] = sorted(str(tuple(row)) for row in rows)
            engine.dispose()
        return found

    def work(self, words: str) -> None:
        """Something happens in both databases."""
        self.house.tell(words)
        engine = create_engine(str(self.house.stores.prefect_database))
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO flow_run (id, state_type, auto_scheduled) VALUES (:id, :t, false)"
                ),
                {"id": words, "t": "COMPLETED"},
            )
        engine.dispose()

    def remember(self) -> None:
        """Keep this moment, and what there is in it."""
        time.sleep(0.05)
        self.moments.append((self.bases.server.position()[0], self.rows()))
        time.sleep(0.05)

    @property
    def way_back(self) -> Moments:
        """What leads to moments, and may be pruned."""
        return Moments(self.bases, self.archive, self.window, utc_now)

    def wanting(self) -> dict[str, str]:
        """What `check-pitr` says is to be done, by what it is about."""
        lines = check(self.way_back)
        return {one.what: f"{one.found}; {one.wanted}" for one in lines if one.wanted}

    def everything(self) -> tuple[dict[str, list[Any]], set[str], list[str]]:
        """Rows, databases and files: what a refusal must leave as it was."""
        home = self.house.stores.home
        files = sorted(str(path) for path in home.rglob("*") if path.is_file())
        return self.rows(), self.bases.server.databases(), files


def made_cluster(server: str, place: Path, archive: Path, prefix: str) -> Cluster:
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("ledger", "prefect"):
            connection.execute(text(f"CREATE DATABASE {prefix}_{name}"))
    engine.dispose()
    (place / "tools").mkdir()
    tools = servers.startable_tools(place / "tools")
    urls = [f"{server}/{prefix}_{name}" for name in ("ledger", "prefect")]
    house = filled(Stores(place / "home", urls[0], urls[1], "", postgres_tools=tools))
    return Cluster(
        house,
        WalArchive(archive, tools),
        Bases(
            house.stores,
            [DirectoryTarget(place / "kept" / "base")],
            BackupKey.create_or_read(house.secrets),
        ),
        house.backups(place / "kept"),
    )


@pytest.fixture(scope="module")
def archiving(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[str, Path]]:
    """A PostgreSQL that is configured by the two lines we print."""
    services.need("postgres")
    place = tmp_path_factory.mktemp("archiving")
    archive = place / "wal"
    archive.mkdir(mode=0o777)
    lines = WalArchive(archive, None).configuration
    with servers.postgres(place, *lines) as server:
        yield server, archive


@pytest.fixture
def cluster(archiving: tuple[str, Path], tmp_path: Path) -> Cluster:
    """An installation with a base backup, and three moments after it."""
    server, archive = archiving
    made = made_cluster(server, tmp_path, archive, f"p{time.monotonic_ns()}")
    made.bases.create()
    for words in ("one", "two", "three"):
        made.work(words)
        made.remember()
    made.work("last")
    return made


def test_three_moments_come_back_row_by_row_and_stand_still(cluster: Cluster):
    for moment, rows in cluster.moments:
        found = set_of(cluster.backups, cluster.bases, cluster.archive, moment)
        assert found.manifest is not None
        assert found.manifest.started == moment
        assert cluster.backups.verify(found).good
        restored = replaced(cluster, found)
        for name, before in rows.items():
            # What would act by itself is switched off, and runs that waited are held.
            if not any(part in name for part in ("flow_run", "deployment_schedule", "automation")):
                assert set(before) <= set(restored[name]), name
        now = [row for row in restored[table(restored, "flow_run")] if "COMPLETED" in row]
        then = [row for row in rows[table(rows, "flow_run")] if "COMPLETED" in row]
        assert now == then
        database = Database(cluster.house.stores.database)
        chain = audit(cluster.house, database)
        told = [row["subject"] for row in chain.export("default") if row["event"] == "told"]
        wanted = rows[table(rows, "audit")]
        assert len(told) == len([row for row in wanted if "'told'" in row])
        assert chain.verify("default").intact
        with pytest.raises(Refused, match="restored from backup set"):
            Stops(database, chain).check("default")
        database.close()


def replaced(cluster: Cluster, found: Listed) -> dict[str, list[Any]]:
    assert found.manifest is not None
    lost = loss(cluster.backups, found.manifest)
    restore_offline(cluster.backups, anchor(cluster.house), found, loss=lost, copy_first=False)
    return cluster.rows()


def table(rows: dict[str, list[Any]], name: str) -> str:
    return next(key for key in rows if key.endswith(f".{name}"))


def test_a_gap_is_named_before_anything_is_touched(cluster: Cluster):
    moments = [moment for moment, _ in cluster.moments]
    segments = [arrive(cluster) for _ in range(3)]
    cluster.work("later")
    later = cluster.bases.server.position()[0]
    time.sleep(0.05)
    cluster.work("last of all")
    arrive(cluster)
    gap = cluster.archive.directory / segments[1]
    gap.rename(gap.with_name("elsewhere"))
    try:
        before = cluster.everything()
        with pytest.raises(Refused, match=f"missing: {segments[1]}"):
            set_of(cluster.backups, cluster.bases, cluster.archive, later)
        assert cluster.everything() == before
        assert segments[1] in cluster.wanting()["continuity"]
        set_of(cluster.backups, cluster.bases, cluster.archive, moments[2])  # before the gap
        gap.write_bytes(b"half of it")  # a copy that was cut off is as good as none
        with pytest.raises(Refused, match=f"missing: {segments[1]}"):
            set_of(cluster.backups, cluster.bases, cluster.archive, later)
    finally:
        gap.with_name("elsewhere").replace(gap)
    set_of(cluster.backups, cluster.bases, cluster.archive, later)


def test_a_pruned_archive_restores_every_moment_of_the_window_and_no_other(cluster: Cluster):
    first = cluster.bases.listed()[0]
    arrive(cluster)  # each base begins in a segment of its own
    second = cluster.bases.create()
    begin = cluster.bases.server.position()[0]
    arrive(cluster)
    cluster.work("four")
    cluster.remember()
    arrive(cluster)
    third = cluster.bases.create()
    cluster.work("five")
    cluster.remember()
    cluster.work("last")
    arrive(cluster)

    assert cluster.way_back.outdated().bases == ()  # a week is wanted
    cluster.window = cluster.bases.server.position()[0] - begin
    gone = cluster.way_back.prune()
    assert [one.manifest.id for one in gone.bases] == [first.manifest.id]
    left = [one.manifest.id for one in cluster.bases.listed()]
    assert left == [third.manifest.id, second.manifest.id]
    names = {path.name for path in cluster.archive.directory.iterdir()}
    assert gone.segments.names
    assert not names & set(gone.segments.names)
    assert min(name[8:24] for name in names) == second.first[8:]
    assert not cluster.way_back.outdated().anything
    assert cluster.wanting() == {}

    with pytest.raises(Refused, match="no base backup is older"):
        set_of(cluster.backups, cluster.bases, cluster.archive, cluster.moments[0][0])
    for moment, rows in cluster.moments[3:]:
        found = set_of(cluster.backups, cluster.bases, cluster.archive, moment)
        restored = replaced(cluster, found)
        tasks, runs = table(rows, "audit"), table(rows, "flow_run")
        assert set(rows[tasks]) <= set(restored[tasks])
        for kept in (rows, restored):
            kept[runs] = [row for row in kept[runs] if "COMPLETED" in row]
        assert restored[runs] == rows[runs]


def test_an_archive_that_cannot_be_pruned_loses_nothing_that_is_needed(cluster: Cluster):
    arrive(cluster)
    newest = cluster.bases.create()
    cluster.window = timedelta(microseconds=1)
    elsewhere = replace(cluster.way_back, archive=replace(cluster.archive, directory=Path("/none")))
    before = cluster.everything()
    with pytest.raises(Unavailable, match="archive cannot be read"):
        elsewhere.prune()
    assert cluster.everything() == before
    assert len(cluster.bases.listed()) == 2
    behind = replace(cluster.way_back, clock=lambda: datetime(2020, 1, 1, tzinfo=UTC))
    ahead = replace(
        behind, window=timedelta(days=1), clock=lambda: datetime(2100, 1, 1, tzinfo=UTC)
    )
    assert behind.outdated().bases == ahead.outdated().bases == ()
    cluster.way_back.prune()
    assert [one.manifest.id for one in cluster.bases.listed()] == [newest.manifest.id]


def test_a_moment_before_the_base_or_still_to_come_is_refused(cluster: Cluster):
    before = cluster.everything()
    base = cluster.bases.listed()[0].manifest
    with pytest.raises(Refused, match="no base backup is older"):
        set_of(cluster.backups, cluster.bases, cluster.archive, base.started)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(Refused, match="does not lead to"):
        set_of(cluster.backups, cluster.bases, cluster.archive, tomorrow)
    assert cluster.everything() == before
    assert cluster.backups.listed() == []


def test_a_segment_that_is_there_but_rotten_ends_the_replay_and_nothing_else(cluster: Cluster):
    cluster.work("into the rotten one")
    rotten = cluster.archive.directory / arrive(cluster)
    cluster.work("after it")
    moment = cluster.bases.server.position()[0]
    time.sleep(0.05)
    cluster.work("after the moment")
    arrive(cluster)
    whole = rotten.read_bytes()
    before = cluster.everything()
    try:
        rotten.write_bytes(whole[:8192] + bytes(len(whole) - 8192))
        with pytest.raises(Unavailable, match=r"the moment was not reached: .*FATAL"):
            set_of(cluster.backups, cluster.bases, cluster.archive, moment)
    finally:
        rotten.write_bytes(whole)
    assert cluster.everything() == before
    assert cluster.backups.listed() == []


def test_check_pitr_is_content_only_with_what_works(
    cluster: Cluster, postgres_server: str, tmp_path: Path
):
    assert cluster.wanting() == {}
    elsewhere = replace(cluster.archive, directory=tmp_path)
    lines = check(replace(cluster.way_back, archive=None))
    assert [one.what for one in lines if one.wanted] == ["archive"]
    assert not arrived(elsewhere, cluster.bases.server.close_segment(), seconds=1)

    (tmp_path / "plain").mkdir()
    plain = made_cluster(postgres_server, tmp_path / "plain", tmp_path, "plain")  # as it comes
    assert {"archive_mode", "archive_command", "continuity"} == plain.wanting().keys()
    apart = replace(plain.house.stores, prefect_database=cluster.house.stores.prefect_database)
    bases = replace(plain.bases, stores=apart)
    found = {one.what for one in check(replace(plain.way_back, bases=bases)) if one.wanted}
    assert "one cluster" in found


def arrive(cluster: Cluster) -> str:
    """Let a segment end, and wait until it is in the archive."""
    segment = cluster.bases.server.close_segment()
    assert arrived(cluster.archive, segment)
    return segment


def test_an_operator_checks_keeps_a_base_and_goes_back(archiving: tuple[str, Path], tmp_path: Path):
    """The same by the commands of the runbook, as one types them."""
    server, archive = archiving
    made = made_cluster(server, tmp_path, archive, f"typed{time.monotonic_ns()}")
    environ = {
        "DRYAD_HOME": str(made.house.stores.home),
        "DRYAD_DATABASE_URL": made.house.stores.database,
        "DRYAD_PREFECT_DATABASE_URL": str(made.house.stores.prefect_database),
        "DRYAD_POSTGRES_TOOLS": str(made.house.stores.postgres_tools),
        "DRYAD_BACKUP_TARGETS": str(tmp_path / "kept"),
        "DRYAD_WAL_ARCHIVE": str(archive),
    }

    def dryad(*arguments: str) -> Done:
        return call(("backup", *arguments), environ, tmp_path, "")

    wanting = dryad("check-pitr")
    assert wanting.returncode == 1
    assert "dryad backup base" in wanting.stdout
    assert all(line in wanting.stdout for line in made.archive.configuration)
    assert dryad("base").returncode == 0
    checked = dryad("check-pitr")
    assert checked.returncode == 0
    assert "every moment of 7 d is wanted" in checked.stdout
    prunes(made, dryad, environ)
    made.work("before")
    made.remember()
    moment, rows = made.moments[0]
    made.work("after")
    early = dryad("restore", "--at", "2025-10-13 12:00:00+00:00", "--yes")
    assert (early.returncode, "no base backup is older" in early.stderr) == (1, True)
    done = dryad("restore", "--at", moment.isoformat(sep=" "), "--yes")
    assert done.returncode == 0, done.stderr
    assert "safety copy" in done.stderr
    database = Database(made.house.stores.database)
    chain = audit(made.house, database)
    assert [row["subject"] for row in chain.export("default") if row["event"] == "told"] == [
        "first",
        "before",
    ]
    assert chain.verify("default").intact
    database.close()
    tasks = made.rows()
    assert set(rows[table(rows, "tenants")]) == set(tasks[table(tasks, "tenants")])


def prunes(made: Cluster, dryad: Callable[..., Done], environ: dict[str, str]) -> None:
    """What the window does not need is shown, then removed."""
    base = made.bases.listed()[0].manifest.id
    assert base in dryad("list").stdout
    arrive(made)
    assert dryad("base").returncode == 0
    environ["DRYAD_MOMENTS_WINDOW"] = "PT0.01S"
    assert base in dryad("prune").stdout
    assert len(made.bases.listed()) == 2
    assert base in dryad("prune", "--yes").stdout
    assert base not in dryad("list").stdout
    assert len(made.bases.listed()) == 1
