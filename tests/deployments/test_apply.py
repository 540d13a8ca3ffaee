"""Registration against a real Prefect server; in this process, where another adds nothing."""

import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments import apply as registration
from dryad.foundation.environment import load
from dryad.foundation.errors import Conflict, InvalidRequest
from tests.servers import PrefectServer

FILE = Path(__file__).with_name("prefect.yaml")
NOTE = "write-note/on-demand"
Apply = Callable[..., list[str]]


@pytest.fixture
def prefect(prefect_server: PrefectServer) -> Generator[httpx.Client]:
    """The server's own API; what the tests registered is gone afterwards."""
    with prefect_server.client() as client:
        yield client
        for row in client.post("/deployments/filter", json={}).json():
            client.delete(f"/deployments/{row['id']}").raise_for_status()
        client.delete("/work_pools/dryad")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "deployments.apply", *arguments]


@pytest.fixture
def apply(prefect_server: PrefectServer, prefect: httpx.Client) -> Generator[Apply]:
    def run(file: Path = FILE, *, reset_schedules: bool = False) -> list[str]:
        settings, _ = load({}, directory=file.parent)
        found = registration.apply(file, settings, reset_schedules=reset_schedules)
        return sorted(f"{outcome} {name}" for name, outcome in found)

    with temporary_settings(
        {PREFECT_API_URL: prefect_server.url, PREFECT_API_AUTH_STRING: prefect_server.auth}
    ):
        yield run


def deployment(prefect: httpx.Client, name: str = NOTE) -> dict[str, Any]:
    return prefect.get(f"/deployments/name/{name}").raise_for_status().json()


def active(row: dict[str, Any]) -> dict[str, bool]:
    return {item["slug"]: item["active"] for item in row["schedules"]}


def changed(tmp_path: Path) -> Path:
    """The same file with another description, so that its digest differs."""
    file = tmp_path / "changed.yaml"
    text = FILE.read_text()
    file.write_text(text.replace("    tags: [example]", "    tags: [example, changed]"))
    return file


def test_registering_creates_the_pool_and_every_deployment(
    apply: Apply, prefect: httpx.Client
) -> None:
    assert apply() == ["registered hold-on/on-demand", f"registered {NOTE}"]
    assert prefect.get("/work_pools/dryad").json()["type"] == "dryad"
    row = deployment(prefect)
    assert row["entrypoint"] == "tests.deployments.example_flows.write_note"
    assert (row["pull_steps"], row["path"], row["tags"]) == ([], None, ["example"])
    assert row["description"].startswith("Write `text` to a file")
    assert row["parameter_openapi_schema"]["required"] == ["path"]
    assert row["parameters"] == {"path": "/dev/null"}
    assert active(row) == {"nightly": True, "noon": True}


def test_registering_again_touches_nothing(apply: Apply, prefect: httpx.Client) -> None:
    apply()
    before = deployment(prefect)
    assert apply() == ["unchanged hold-on/on-demand", f"unchanged {NOTE}"]
    assert deployment(prefect) == before


def test_other_code_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sample" / "inner"
    package.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[str] = []
    for file, text in (("__init__.py", ""), ("a.py", "x = 1"), ("a.py", "x = 2"), ("b.txt", "-")):
        (package / file).write_text(text)
        seen.append(registration.code_digest(["sample"]))
    assert len(set(seen[:3])) == 3
    assert seen[3] == seen[2]


def test_what_an_operator_paused_stays_paused_even_when_the_content_changes(
    apply: Apply, prefect: httpx.Client, tmp_path: Path
) -> None:
    apply()
    row = deployment(prefect)
    nightly = next(item["id"] for item in row["schedules"] if item["slug"] == "nightly")
    prefect.patch(f"/deployments/{row['id']}", json={"paused": True}).raise_for_status()
    prefect.patch(
        f"/deployments/{row['id']}/schedules/{nightly}", json={"active": False}
    ).raise_for_status()
    assert f"unchanged {NOTE}" in apply()
    assert f"registered {NOTE}" in apply(changed(tmp_path))
    row = deployment(prefect)
    assert row["tags"] == ["example", "changed"]
    assert row["paused"]
    assert active(row) == {"nightly": False, "noon": True}


def test_resetting_schedules_wakes_what_was_paused(apply: Apply, prefect: httpx.Client) -> None:
    apply()
    row = deployment(prefect)
    prefect.patch(f"/deployments/{row['id']}", json={"paused": True}).raise_for_status()
    assert f"registered {NOTE}" in apply(reset_schedules=True)
    assert not deployment(prefect)["paused"]


def test_two_registrations_at_once_end_as_one(
    prefect_server: PrefectServer, prefect: httpx.Client, tmp_path: Path
) -> None:
    started = [
        subprocess.Popen(
            command(str(FILE)),
            env=prefect_server.environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert len(prefect.post("/deployments/filter", json={}).json()) == 2
    assert active(deployment(prefect)) == {"nightly": True, "noon": True}


def test_prefect_deploy_registers_the_same_set(
    apply: Apply, prefect_server: PrefectServer, prefect: httpx.Client, tmp_path: Path
) -> None:
    """What differs is the version, so that the next `apply` notices."""
    same = ("entrypoint", "parameters", "tags", "description", "parameter_openapi_schema",
            "pull_steps", "paused", "concurrency_limit", "enforce_parameter_schema")  # fmt: skip
    apply()
    ours = deployment(prefect)
    prefect.delete(f"/deployments/{ours['id']}").raise_for_status()
    subprocess.run(
        [sys.executable, "-P", "-m", "prefect", "--no-prompt", "deploy", "--all",
         "--prefect-file", str(FILE)],
        env=prefect_server.environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )  # fmt: skip
    theirs = deployment(prefect)
    assert {key: theirs[key] for key in same} == {key: ours[key] for key in same}
    assert active(theirs) == active(ours)
    assert f"registered {NOTE}" in apply()


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("entrypoint: tests.deployments.example_flows.nothing", "cannot be loaded"),
        ("entrypoint: tests.nowhere.nothing", "cannot be loaded"),
        ("entrypoint: tests/deployments/example_flows.py:write_note", "module path"),
        ("entrypoint: tests.deployments.example_flows.write_note\n    cron: 1", "unknown keys"),
    ],
)
def test_a_bad_entry_is_refused_before_anything_is_registered(
    apply: Apply, prefect: httpx.Client, tmp_path: Path, entry: str, complaint: str
) -> None:
    file = tmp_path / "bad.yaml"
    text = FILE.read_text()
    file.write_text(f"{text}\n  - name: bad\n    work_pool: {{name: dryad}}\n    {entry}\n")
    with pytest.raises(InvalidRequest, match=complaint):
        apply(file)
    assert prefect.post("/deployments/filter", json={}).json() == []


def test_a_pool_of_another_type_is_left_alone_and_explained(
    apply: Apply, prefect: httpx.Client
) -> None:
    prefect.post("/work_pools/", json={"name": "dryad", "type": "process"}).raise_for_status()
    with pytest.raises(Conflict, match="of type 'process'") as caught:
        apply()
    assert "work-pool delete" in caught.value.next_step
    assert prefect.get("/work_pools/dryad").json()["type"] == "process"


def test_another_pool_may_be_of_any_type(
    apply: Apply, prefect: httpx.Client, tmp_path: Path
) -> None:
    prefect.post("/work_pools/", json={"name": "elsewhere", "type": "process"}).raise_for_status()
    file = tmp_path / "elsewhere.yaml"
    file.write_text(FILE.read_text().replace("{name: dryad}", "{name: elsewhere}"))
    apply(file)
    found = prefect.get(f"/deployments/name/{NOTE}").raise_for_status().json()
    prefect.delete("/work_pools/elsewhere").raise_for_status()
    assert found["work_pool_name"] == "elsewhere"


def test_on_the_command_line_a_refusal_is_two_lines_and_a_status(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("name: bad\ndeployments: []\n")
    done = subprocess.run(
        command(str(file)), env=prefect_server.environment, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pull: []" in done.stderr
    assert len(done.stderr.splitlines()) == 2
