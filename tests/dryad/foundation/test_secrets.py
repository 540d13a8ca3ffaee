"""Secrets are made once, whole, and only for their owner's eyes."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from dryad.foundation.errors import Corrupt, NotFound, Refused
from dryad.foundation.secrets import Secrets
from tests.crowd import crowd


def read_all(directory: str) -> str:
    return json.dumps(asdict(Secrets.create_or_read(Path(directory))), default=bytes.hex)


def test_twelve_processes_starting_at_once_read_the_same_secrets(tmp_path: Path):
    directory = tmp_path / "home" / "secrets"
    ended = crowd(12, f"{__name__}:read_all", directory)
    assert [e.complained for e in ended if e.status] == []
    assert len({e.said for e in ended}) == 1
    assert [file.name for file in directory.iterdir()] == ["secrets.json"]


def test_only_the_owner_may_look(tmp_path: Path):
    directory = tmp_path / "secrets"
    Secrets.create_or_read(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "secrets.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("what", "mode"), [("", "700"), ("secrets.json", "600")])
def test_what_others_could_read_is_refused_with_the_command_that_helps(
    tmp_path: Path, what: str, mode: str
):
    directory = tmp_path / "secrets"
    Secrets.create_or_read(directory)
    path = directory / what if what else directory
    path.chmod(0o740)
    with pytest.raises(Refused) as refusal:
        Secrets.create_or_read(directory)
    assert f"chmod {mode} {path}" in refusal.value.next_step


def test_a_damaged_file_is_never_replaced(tmp_path: Path):
    directory = tmp_path / "secrets"
    Secrets.create_or_read(directory)
    file = directory / "secrets.json"
    for damage in (b"", b"{", b"[]", file.read_bytes().replace(b"audit_key", b"audit_kez")):
        file.write_bytes(damage)
        with pytest.raises(Corrupt):
            Secrets.create_or_read(directory)
        assert file.read_bytes() == damage


def test_a_newer_format_is_left_alone(tmp_path: Path):
    directory = tmp_path / "secrets"
    Secrets.create_or_read(directory)
    file = directory / "secrets.json"
    file.write_bytes(file.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(Corrupt, match="format 2"):
        Secrets.read(directory)


def test_reading_makes_nothing(tmp_path: Path):
    with pytest.raises(NotFound):
        Secrets.read(tmp_path / "secrets")
    assert list(tmp_path.iterdir()) == []


def test_no_secret_shows_in_a_traceback_or_a_log(tmp_path: Path):
    made = Secrets.create_or_read(tmp_path / "secrets")
    assert repr(made) == "Secrets()"


def test_the_secrets_have_the_shape_their_users_need(tmp_path: Path):
    from cryptography.fernet import Fernet

    made = Secrets.create_or_read(tmp_path / "secrets")
    vault = Fernet(made.prefect_encryption_key)
    assert vault.decrypt(vault.encrypt(b"kept")) == b"kept"
    assert made.prefect_auth.startswith("dryad:")
    assert len({made.key_pepper, made.audit_key, made.review_secret}) == 3
    assert {len(made.key_pepper), len(made.audit_key), len(made.review_secret)} == {32}
