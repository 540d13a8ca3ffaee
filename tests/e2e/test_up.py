"""`dryad up` and `down` as an operator meets them: two installations, closed doors, kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import Installation
from tests.servers import free_port, listens, wait_for

PROCESSES = ["dryad up", "Chroma", "Prefect server", "API", "worker", "keeper"]
EXAMPLES = Path(__file__).parents[1] / "deployments" / "prefect.yaml"
FOREIGN = {"Origin": "http://evil.test"}
Start = Callable[..., Installation]


@pytest.fixture(scope="module")
def ours(start: Start) -> Installation:
    """An installation the tests of this module kill, stop and start as they like."""
    chroma = {"DRYAD_CHROMA": "managed", "DRYAD_CHROMA_PORT": str(free_port())}
    return start("ours", DRYAD_EMBEDDER="minilm", **chroma)


def processes(installation: Installation) -> dict[str, dict[str, Any]]:
    """What `dryad status` shows, by name."""
    shown = installation.dryad("status", "--json", check=False)
    return {row["name"]: row for row in json.loads(shown)}


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def exports(installation: Installation) -> dict[str, str]:
    lines = installation.dryad("env").splitlines()
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
    return {name: value.strip("'") for name, value in pairs}


def test_every_process_runs_and_is_shown(ours: Installation) -> None:
    shown = processes(ours)
    assert sorted(shown) == sorted(PROCESSES)
    assert listens(shown["Chroma"]["port"])
    assert {row["state"] for row in shown.values()} == {"ready"}
    assert all(alive(row["pid"]) for row in shown.values())
    assert listens(shown["API"]["port"])
    assert listens(shown["Prefect server"]["port"])


def test_a_person_s_own_prefect_commands_reach_it(ours: Installation) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "prefect", "deployment", "ls", "--output", "json"],
        env=ours.environ | exports(ours),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "orchestrate_task" in done.stdout


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/flow_runs/00000000-0000-0000-0000-000000000000/resume"),
        ("DELETE", "/flow_runs/00000000-0000-0000-0000-000000000000"),
        ("POST", "/deployments/00000000-0000-0000-0000-000000000000/create_flow_run"),
    ],
)
def test_a_page_of_another_origin_can_do_nothing(
    ours: Installation, method: str, path: str
) -> None:
    asks = FOREIGN | {"Access-Control-Request-Method": method,
                      "Access-Control-Request-Headers": "content-type"}  # fmt: skip
    with ours.prefect() as prefect:
        preflight = prefect.options(path, headers=asks)
        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in preflight.headers
        own = prefect.base_url.copy_with(path="")
        allowed = prefect.options(path, headers=asks | {"Origin": str(own).rstrip("/")})
        assert allowed.status_code == 200, "its own UI may"
    simple = httpx.request(method, f"{ours.prefect_url}{path}", headers=FOREIGN, json={})
    assert simple.status_code == 401


def test_secrets_are_in_no_process_s_arguments(ours: Installation) -> None:
    secrets = [value for value in ours.secrets.values() if isinstance(value, str)]
    for row in processes(ours).values():
        family = [psutil.Process(row["pid"]), *psutil.Process(row["pid"]).children(recursive=True)]
        shown = " ".join(" ".join(process.cmdline()) for process in family)
        assert not any(secret in shown for secret in secrets)


def test_a_second_instance_of_it_is_refused(ours: Installation) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dryad", "up"],
        env=ours.environ,
        cwd=ours.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    pid = processes(ours)["dryad up"]["pid"]
    assert f"runs already: pid {pid}" in done.stderr
    assert "dryad down" in done.stderr


def test_another_installation_on_its_port_is_told_who_has_it(
    ours: Installation, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dryad", "up", "--detach"],
        env=ours.environ | {"DRYAD_HOME": str(tmp_path / ".dryad")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    api = processes(ours)["API"]
    assert f"port {api['port']} for the DRYAD API is not free: used by pid {api['pid']}" in (
        done.stderr
    )
    assert "DRYAD_API_PORT" in done.stderr


@pytest.mark.soak
def test_two_installations_run_side_by_side(ours: Installation, start: Start) -> None:
    other = start("other")
    assert {row["state"] for row in processes(other).values()} == {"ready"}
    assert {row["state"] for row in processes(ours).values()} == {"ready"}
    assert httpx.get(f"{other.prefect_url}/admin/version", auth=("dryad", "x")).status_code == 401
    with other.prefect() as prefect, ours.prefect() as mine:
        theirs = {row["id"] for row in prefect.post("/deployments/filter", json={}).json()}
        own = {row["id"] for row in mine.post("/deployments/filter", json={}).json()}
    assert theirs
    assert own
    assert not theirs & own
    other.dryad("down")
    assert processes(ours)["API"]["state"] == "ready"


def test_a_killed_process_comes_back(ours: Installation) -> None:
    before = processes(ours)["API"]
    os.kill(before["pid"], signal.SIGKILL)
    wait_for("the API", lambda: processes(ours)["API"]["restarts"] == 1, seconds=60)
    wait_for("its answer", lambda: processes(ours)["API"]["state"] == "ready", seconds=60)
    assert processes(ours)["API"]["pid"] != before["pid"]
    lines = (ours.directory / "logs" / "gremlins_errors.log").read_text().splitlines()
    alerts = [json.loads(line) for line in lines if '"process_died"' in line]
    assert [(line["process"], line["pid"]) for line in alerts] == [("API", before["pid"])]


def test_kill_9_leaves_no_process_and_the_next_start_is_clean(
    ours: Installation, tmp_path: Path
) -> None:
    environ = ours.environ | exports(ours)
    subprocess.run(
        [sys.executable, "-P", "-m", "deployments.apply", str(EXAMPLES)], env=environ, check=True
    )
    note = tmp_path / "pid"
    with ours.prefect() as prefect:
        rows = {
            row["entrypoint"]: row for row in prefect.post("/deployments/filter", json={}).json()
        }
        road = rows["flows.orchestrate_task.orchestrate_task"]
        prefect.patch(f"/deployments/{road['id']}", json={"paused": True}).raise_for_status()
        hold = rows["tests.deployments.example_flows.hold_on"]["id"]
        prefect.post(
            f"/deployments/{hold}/create_flow_run", json={"parameters": {"path": str(note)}}
        ).raise_for_status()
    wait_for("a run", lambda: note.exists() and note.read_text() != "")
    pids = [row["pid"] for row in processes(ours).values()] + [int(note.read_text())]
    assert all(map(alive, pids))
    os.kill(processes(ours)["dryad up"]["pid"], signal.SIGKILL)
    wait_for("the end of all", lambda: not any(map(alive, pids)), seconds=5)
    assert processes(ours) == {}

    ours.dryad("up", "--detach", seconds=300)
    assert {row["state"] for row in processes(ours).values()} == {"ready"}
    with ours.prefect() as prefect:
        paused = prefect.get(f"/deployments/{road['id']}").json()["paused"]
    assert paused, "what an operator paused stays paused"


def test_down_stops_everything_and_may_be_said_twice(ours: Installation) -> None:
    pids = [row["pid"] for row in processes(ours).values()]
    ports = [row["port"] for row in processes(ours).values() if row["port"]]
    began = time.monotonic()
    ours.dryad("down")
    assert time.monotonic() - began < 60
    assert not any(map(alive, pids))
    assert not any(map(listens, ports))
    assert processes(ours) == {}
    ours.dryad("down")
