"""The servers of a grown installation, as the real `docker compose config` reads them."""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PASSWORDS = {"POSTGRES_PASSWORD": "for-this-test-only", "REDIS_PASSWORD": "for-this-test-too"}


def config(environ: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    compose = shutil.which("docker-compose")
    assert compose is not None
    file = ["--file", ROOT / "docker-compose.yml", "--project-directory", directory]
    return subprocess.run(
        [compose, *file, "config", "--format", "json"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = config(PASSWORDS, tmp_path_factory.mktemp("compose"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


@pytest.mark.parametrize("missing", PASSWORDS)
@pytest.mark.parametrize("blank", [False, True])
def test_nothing_starts_without_a_password(missing: str, blank: bool, tmp_path: Path):
    environ = {name: value for name, value in PASSWORDS.items() if name != missing}
    done = config(environ | ({missing: ""} if blank else {}), tmp_path)
    assert done.returncode != 0
    assert missing in done.stderr


def test_a_password_stands_in_the_environment_file(tmp_path: Path):
    (tmp_path / ".env").write_text("".join(f"{k}={v}\n" for k, v in PASSWORDS.items()))
    done = config({}, tmp_path)
    assert done.returncode == 0, done.stderr
    stored = json.loads(done.stdout)["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert stored == PASSWORDS["POSTGRES_PASSWORD"]


def test_the_servers_are_reachable_from_this_machine_only(services: dict[str, Any]):
    published = [port for service in services.values() for port in service["ports"]]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    assert {port["published"] for port in published} == {"5432", "6379", "8001"}


def test_every_server_is_watched_bounded_and_without_privileges(services: dict[str, Any]):
    assert set(services) == {"postgres", "redis", "chroma"}
    for name, service in services.items():
        assert service["healthcheck"]["retries"] > 0, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        limits = service["deploy"]["resources"]["limits"]
        assert limits.keys() == {"cpus", "memory", "pids"}, name


def test_data_outlives_a_container(services: dict[str, Any]):
    for name, service in services.items():
        assert [volume["type"] for volume in service["volumes"]] == ["volume"], name


def test_images_are_pinned_and_chroma_matches_its_client(services: dict[str, Any]):
    tags = {name: service["image"].partition(":")[2] for name, service in services.items()}
    assert all(tag[:1].isdigit() and tag.count(".") >= 1 for tag in tags.values()), tags
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    client = next(package["version"] for package in locked if package["name"] == "chromadb")
    assert tags["chroma"] == client
