"""What tests ask of a running installation: tasks, questions, answers, and one slow agent."""

from typing import Any

import httpx
import psutil

from tests.e2e.conftest import Installation

LETTER = "Notify the operators that the maintenance window begins at 18:00."
SLEEPER = "sleeper"
SLEEP = "Calculate 2 + 3."
"""With the agent `SLEEPER`: a task whose sandboxed program sleeps for half a minute."""

_SLEEPS = """\
import os, sys
program = 'import time; time.sleep(25); print("{\\\\"value\\\\": 5}")'
os.execv(sys.executable, ["%s", "-c", program])
"""


def submit(installation: Installation, text: str, **more: Any) -> str:
    """Submit a task through the API and return its id."""
    with installation.api() as api:
        answer = api.post("/api/v1/tasks", json={"text": text, **more})
        return str(answer.raise_for_status().json()["id"])


def question(installation: Installation, task: str, *, seconds: float = 90) -> dict[str, Any]:
    """The question a task waits for."""
    installation.until(task, "waiting", seconds=seconds)
    return next(case for case in inbox(installation) if case["task"] == task)


def inbox(installation: Installation) -> list[dict[str, Any]]:
    """Every question that waits."""
    with installation.api() as api:
        return api.get("/api/v1/consultations").raise_for_status().json()["items"]


def reply(installation: Installation, case: int, decision: str) -> httpx.Response:
    """Answer one question through the API."""
    with installation.api() as api:
        return api.post(
            f"/api/v1/consultations/{case}/answer", json={"decision": decision, "reason": "test"}
        )


def run_state(installation: Installation, run: str) -> dict[str, Any]:
    """How a flow run stands, as Prefect says it."""
    with installation.prefect() as prefect:
        return prefect.get(f"/flow_runs/{run}").raise_for_status().json()["state"]


def provide_sleeper(installation: Installation) -> str:
    """Register the slow agent with its slow tool; return how its sandboxed process is called."""
    name = f"sleeper-{installation.api_url.rpartition(':')[2]}"
    with installation.api() as api:
        calculate = api.get("/api/v1/tools/calculate").raise_for_status().json()
        slow = {k: v for k, v in calculate.items() if k not in {"status", "version", "kind"}}
        slow |= {"version": "slow", "kind": "script", "config": {"code": _SLEEPS % name}}
        if api.post("/api/v1/tools", json=slow).status_code == 409:
            return name  # an earlier test did it all
        agent = {"id": SLEEPER, "name": "Sleeper", "role": "analyst", "capabilities": {"sleep": 1}}
        api.post("/api/v1/agents", json=agent).raise_for_status()
        api.post("/api/v1/tools/calculate/grants", json={"principal": SLEEPER}).raise_for_status()
    return name


def asleep(name: str) -> list[psutil.Process]:
    """The sandboxed processes called `name`."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[:1] == [name]:
                found.append(process)
        except psutil.Error:
            continue
    return found
