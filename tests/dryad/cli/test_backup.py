"""`dryad backup` from the outside: made, listed, proved, let go, and its keys exported."""

import json
from pathlib import Path

from dryad.foundation.secrets import Secrets
from dryad.operations.backups.key import BackupKey, import_keys
from tests.dryad.api.conftest import House
from tests.dryad.cli.conftest import Dryad


def ready(installation: House) -> dict[str, str]:
    """An installation whose Prefect server is somebody else's, so that there is none to keep."""
    Secrets.create_or_read(installation.settings.secrets_path)
    return {"DRYAD_PREFECT_API_URL": "http://127.0.0.1:9/api"}


def test_a_set_is_made_listed_shown_and_proved(dryad: Dryad, installation: House, tmp_path: Path):
    env = ready(installation)
    done = dryad("backup", "create", "--json", **env)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["set"]
    assert (tmp_path / "backups" / made / "manifest.json").exists()
    (listed,) = json.loads(dryad("backup", "--json", **env).stdout)
    assert (listed["set"], listed["state"]) == (made, "unverified")
    assert dryad("backup", "verify", made[:15], **env).returncode == 0
    shown = json.loads(dryad("backup", "show", "newest", "--json", **env).stdout)
    assert (shown["state"], [part["part"] for part in shown["parts"]]) == (
        "verified",
        ["dryad", "files", "settings"],
    )
    assert "verified" in dryad("backup", "show", made, **env).stdout


def test_what_is_wrong_is_said_and_is_the_exit_status(
    dryad: Dryad, installation: House, tmp_path: Path
):
    env = ready(installation)
    done = dryad("backup", "create", "--critical", **env)
    assert (done.returncode, "needs a reason" in done.stderr) == (2, True)
    done = dryad("backup", "verify", **env)
    assert (done.returncode, "there is no backup set" in done.stderr) == (1, True)
    (tmp_path / "file").write_text("")
    both = f"{tmp_path / 'sets'},{tmp_path / 'file'}"
    done = dryad("backup", "create", **env, DRYAD_BACKUP_TARGETS=both)
    assert (done.returncode, f"no copy in {tmp_path / 'file'}" in done.stderr) == (1, True)
    assert len(list((tmp_path / "sets").iterdir())) == 1


def test_pruning_shows_first_and_removes_only_when_told(
    dryad: Dryad, installation: House, tmp_path: Path
):
    env = ready(installation)
    names = [json.loads(dryad("backup", "create", "--json", **env).stdout)["set"] for _ in "ab"]
    old, new = names
    assert old in dryad("backup", "prune", **env).stdout
    assert len(list((tmp_path / "backups").iterdir())) == 2
    assert dryad("backup", "prune", "--yes", **env).returncode == 0
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [new]
    assert "nothing to remove" in dryad("backup", "prune", **env).stderr


def test_exported_keys_open_with_the_printed_key_alone(
    dryad: Dryad, installation: House, tmp_path: Path
):
    env = ready(installation)
    done = dryad("backup", "export-keys", str(tmp_path / "keys.age"), **env)
    recovery = done.stdout.strip()
    assert recovery.startswith("AGE-SECRET-KEY-1")
    assert (tmp_path / "keys.age").stat().st_mode & 0o777 == 0o600
    import_keys((tmp_path / "keys.age").read_bytes(), recovery, tmp_path / "new")
    secrets = installation.settings.secrets_path
    assert BackupKey.read(tmp_path / "new") == BackupKey.read(secrets)
    done = dryad("backup", "export-keys", str(tmp_path / "keys.age"), **env)
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
