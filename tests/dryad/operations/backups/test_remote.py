"""Sets in an object store, spoken to as S3 is."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from dryad.foundation.errors import InvalidRequest, Unavailable
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.targets import RemoteTarget, open_target
from tests.dryad.operations.conftest import House
from tests.servers import free_port


@pytest.fixture(scope="module")
def endpoint() -> Generator[str]:
    """An S3 server of this machine."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """An empty bucket, reachable as an operator configures it: by the environment."""
    import boto3
    from s3fs import S3FileSystem

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="kept")
    S3FileSystem.clear_instance_cache()
    yield client
    S3FileSystem.clear_instance_cache()
    for entry in client.list_objects_v2(Bucket="kept").get("Contents", []):
        client.delete_object(Bucket="kept", Key=entry["Key"])
    client.delete_bucket(Bucket="kept")


def keys(bucket: Any) -> list[str]:
    return [entry["Key"] for entry in bucket.list_objects_v2(Bucket="kept").get("Contents", [])]


def test_a_set_is_kept_in_a_directory_and_a_bucket_alike(
    sqlite_house: House, bucket: Any, tmp_path: Path
):
    remote = open_target("s3://kept/acme")
    backups = sqlite_house.backups(tmp_path / "kept", remote)
    made = backups.create(Purpose())
    assert made.failed == {}
    names = [f"acme/{made.manifest.id}/{part.file}" for part in made.manifest.parts]
    assert sorted(keys(bucket)) == sorted([*names, f"acme/{made.manifest.id}/manifest.json"])
    for name in names:
        there = bucket.get_object(Bucket="kept", Key=name)["Body"].read()
        assert there == (tmp_path / "kept" / name.removeprefix("acme/")).read_bytes()
    (found,) = backups.listed()
    assert [target.name for target in found.targets] == [str(tmp_path / "kept"), "s3://kept/acme"]


def test_it_is_verified_and_pruned_there(sqlite_house: House, bucket: Any):
    backups = sqlite_house.backups(open_target("s3://kept"))
    old, new = (backups.create(Purpose()).manifest for _ in range(2))
    assert backups.verify(backups.find(new.id)).problems == ()
    assert backups.find(new.id).state == "verified"
    bucket.put_object(Bucket="kept", Key=f"{old.id}/{old.parts[0].file}", Body=b"rotten")
    assert "truncated" in backups.verify(backups.find(old.id)).problems[0]
    assert backups.remove([old.id]) == [old.id]
    assert {key.partition("/")[0] for key in keys(bucket)} == {new.id}


def test_what_was_never_published_is_invisible_and_cleared(sqlite_house: House, bucket: Any):
    bucket.put_object(Bucket="kept", Key="20250101-000000-abcd/dryad.db.zst.age", Body=b"half")
    backups = sqlite_house.backups(open_target("s3://kept"))
    assert backups.listed() == []
    made = backups.create(Purpose())
    assert {key.partition("/")[0] for key in keys(bucket)} == {made.manifest.id}


def test_a_bucket_that_is_not_there_costs_that_copy_only(
    sqlite_house: House, bucket: Any, tmp_path: Path
):
    made = sqlite_house.backups(tmp_path / "kept", open_target("s3://missing/x")).create(Purpose())
    assert list(made.failed) == ["s3://missing/x"]
    with pytest.raises(Unavailable, match="s3://missing/x"):
        sqlite_house.backups(open_target("s3://missing/x")).create(Purpose())


def test_an_address_nothing_understands_is_refused_and_its_password_not_told():
    target = RemoteTarget("gopher://me:secret@host/x")
    assert target.name == "gopher://host/x"
    with pytest.raises(InvalidRequest, match="nothing installed here understands gopher://host/x"):
        target.sets()
