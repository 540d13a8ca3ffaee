"""The backup key is made once, and leaves the machine only under another key."""

from pathlib import Path

import pytest

from dryad.foundation.errors import Conflict, Corrupt, NotFound, Refused
from dryad.foundation.secrets import Secrets
from dryad.operations.backups import age
from dryad.operations.backups.key import (
    BackupKey,
    export_keys,
    import_keys,
    is_exported,
    mark_exported,
)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    Secrets.create_or_read(tmp_path / "secrets")
    return tmp_path / "secrets"


def test_it_is_made_once_and_private(secrets: Path):
    made = BackupKey.create_or_read(secrets)
    assert BackupKey.create_or_read(secrets) == made
    assert (secrets / "backup.key").stat().st_mode & 0o777 == 0o600
    assert made.identity not in repr(made)


def test_it_is_not_made_where_nothing_is_installed(tmp_path: Path):
    with pytest.raises(NotFound):
        BackupKey.create_or_read(tmp_path)


def test_a_damaged_key_is_never_replaced(secrets: Path):
    (secrets / "backup.key").write_text("AGE-SECRET-KEY-1ROTTEN")
    (secrets / "backup.key").chmod(0o600)
    with pytest.raises(Corrupt, match="damaged"):
        BackupKey.create_or_read(secrets)


def test_exported_keys_make_the_same_installation_elsewhere(secrets: Path, tmp_path: Path):
    bundle, recovery = export_keys(secrets)
    assert Secrets.read(secrets).operator_key.encode() not in bundle
    import_keys(bundle, recovery, tmp_path / "new")
    import_keys(bundle, recovery, tmp_path / "new")
    assert Secrets.read(tmp_path / "new") == Secrets.read(secrets)
    assert BackupKey.read(tmp_path / "new") == BackupKey.read(secrets)


@pytest.mark.parametrize("wrong", [age.new_identity(), "nonsense"], ids=["other", "none"])
def test_another_recovery_key_opens_nothing(secrets: Path, tmp_path: Path, wrong: str):
    bundle, _ = export_keys(secrets)
    with pytest.raises(Refused, match="does not open"):
        import_keys(bundle, wrong, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_other_secrets_are_never_overwritten(secrets: Path, tmp_path: Path):
    Secrets.create_or_read(tmp_path / "other")
    before = Secrets.read(tmp_path / "other")
    with pytest.raises(Conflict, match="another installation"):
        import_keys(*export_keys(secrets), tmp_path / "other")
    assert Secrets.read(tmp_path / "other") == before


def test_a_damaged_export_is_refused(secrets: Path, tmp_path: Path):
    bundle, recovery = export_keys(secrets)
    with pytest.raises(Corrupt, match="damaged"):
        import_keys(bundle[:-5], recovery, tmp_path / "new")


def test_one_is_reminded_until_the_present_keys_are_exported(secrets: Path):
    assert not is_exported(secrets)
    export_keys(secrets)
    mark_exported(secrets)
    assert is_exported(secrets)
    (secrets / "backup.key").unlink()
    BackupKey.create_or_read(secrets)
    assert not is_exported(secrets)
