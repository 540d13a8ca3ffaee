"""`dryad backup restore`: on the machine itself, and on a bare one from a set and the keys."""

import json
import os
from pathlib import Path

import pytest

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database, migrate
from dryad.foundation.provision import provision
from dryad.foundation.secrets import Secrets
from dryad.platform.instance import Instance
from tests.dryad.cli.conftest import Done, call


class Machine:
    """A directory with an installation, or without one."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory, self.home = directory, directory / ".dryad"

    def dryad(self, *arguments: str, stdin: str = "", check: bool = True) -> Done:
        environ = {
            "DRYAD_HOME": str(self.home),
            "DRYAD_PREFECT_API_URL": "http://127.0.0.1:9/api",  # another's: there is none to keep
        }
        done = call(arguments, environ, self.directory, stdin)
        assert done.returncode == 0 or not check, done.stderr
        return done

    def install(self) -> None:
        secrets = Secrets.create_or_read(self.home / "secrets")
        database = self.ledger()
        migrate.upgrade(database)
        provision(database, secrets)
        database.close()

    def ledger(self) -> Database:
        return Database(f"sqlite:///{self.home / 'dryad.db'}")

    def tell(self, words: str) -> None:
        database = self.ledger()
        key = Secrets.read(self.home / "secrets").audit_key
        Audit(database, key, self.home / "audit-heads").append(
            "default", "told", actor="test", subject=words
        )
        database.close()

    def told(self) -> list[str]:
        """What the audit chain says, and that it is whole."""
        self.dryad("audit", "verify")
        lines = self.dryad("audit", "export").stdout.splitlines()
        return [json.loads(line)["subject"] for line in lines if '"told"' in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "one")
    made.install()
    return made


def kept(machine: Machine) -> str:
    return json.loads(machine.dryad("backup", "create", "--json").stdout)["set"]


def test_it_shows_what_is_lost_asks_and_keeps_a_copy_first(machine: Machine):
    machine.tell("before")
    made = kept(machine)
    machine.tell("after")
    done = machine.dryad("backup", "restore", made, stdin="no\n", check=False)
    assert (done.returncode, "nothing was changed" in done.stderr) == (1, True)
    assert "dryad.audit" in done.stdout
    assert machine.told() == ["before", "after"]
    done = machine.dryad("backup", "restore", made, stdin=f"{made}\n")
    assert "0 tasks" in done.stderr
    assert machine.told() == ["before"]
    kinds = {
        row["kind"]: row["set"] for row in json.loads(machine.dryad("backup", "--json").stdout)
    }
    machine.dryad("backup", "restore", kinds["safety"], "--yes")
    assert machine.told() == ["before", "after"]


def test_a_bare_machine_needs_a_set_the_keys_and_the_package(machine: Machine, tmp_path: Path):
    machine.tell("before")
    (machine.home / "workspaces").mkdir()
    (machine.home / "workspaces" / "file").write_text("kept")
    made = kept(machine)
    recovery = machine.dryad("backup", "export-keys", str(tmp_path / "keys.age")).stdout
    bare = Machine(tmp_path / "two")
    source = str(machine.directory / "backups")
    arguments = ("backup", "restore", made, "--from", source, "--keys", str(tmp_path / "keys.age"))
    done = bare.dryad(*arguments, "--yes", stdin="AGE-SECRET-KEY-1WRONG\n", check=False)
    assert (done.returncode, "does not open" in done.stderr) == (1, True)
    assert not bare.home.exists()
    bare.dryad(*arguments, "--yes", stdin=recovery)
    assert bare.told() == ["before"]
    assert (bare.home / "workspaces" / "file").read_text() == "kept"
    assert Secrets.read(bare.home / "secrets") == Secrets.read(machine.home / "secrets")


def test_a_set_of_another_installation_is_refused(machine: Machine, tmp_path: Path):
    made = kept(machine)
    other = Machine(tmp_path / "two")
    other.install()
    other.tell("mine")
    done = other.dryad(
        "backup", "restore", made, "--from", str(machine.directory / "backups"), "--yes",
        check=False,
    )  # fmt: skip
    assert (done.returncode, "is sealed for the key" in done.stderr) == (1, True)
    assert other.told() == ["mine"]


def test_an_installation_that_runs_is_not_replaced(machine: Machine):
    made = kept(machine)
    with Instance(machine.home).claimed():
        done = machine.dryad("backup", "restore", made, "--yes", check=False)
    assert f"this installation runs already: pid {os.getpid()}" in done.stderr


def test_a_ledger_that_cannot_be_read_is_replaced_all_the_same(machine: Machine):
    machine.tell("before")
    made = kept(machine)
    for name in ("dryad.db", "dryad.db-wal", "dryad.db-shm"):
        (machine.home / name).unlink(missing_ok=True)
    (machine.home / "dryad.db").write_bytes(b"rubbish" * 1000)
    done = machine.dryad("backup", "restore", made, "--yes")
    assert "cannot be read" in done.stderr
    assert machine.told() == ["before"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("newest", "--at", "2025-10-13 12:00:00+00:00"), "name a set, or a moment"),
        ((), "name a set, or a moment"),
        (("--at", "2025-10-13 12:00:00"), "has no offset"),
        (("--at", "noon"), "is no moment"),
        (("--at", "2025-10-13 12:00:00+00"), "no WAL archive is set"),
    ],
)
def test_a_moment_needs_an_offset_and_an_archive(
    machine: Machine, arguments: tuple[str, ...], said: str
):
    done = machine.dryad("backup", "restore", *arguments, check=False)
    assert (done.returncode, said in done.stderr) == (1 if "archive" in said else 2, True), (
        done.stderr
    )
