"""Measure how long a person waits from `dryad up`, and from `dryad run`, to the decision.

    python -m benchmarks.first_decision [--rounds 5]

One installation of its own, as a newcomer starts it. Wall seconds, with the command's own start.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.conftest import ROOT, Installation
from tests.servers import clean_environment, free_port, wait_for

QUESTION = "What happens to a task when its flow run is suspended?"


def installation(directory: Path) -> Installation:
    api, prefect = free_port(), free_port()
    environment = clean_environment() | {
        "PYTHONPATH": str(ROOT),
        "DRYAD_HOME": str(directory / ".dryad"),
        "DRYAD_API_PORT": str(api),
        "DRYAD_PREFECT_PORT": str(prefect),
    }
    return Installation(
        directory, environment, f"http://127.0.0.1:{api}", f"http://127.0.0.1:{prefect}/api"
    )


def one_round(here: Installation) -> tuple[float, float]:
    """Run one task; return the seconds to its decision and to its end."""
    with here.api() as api:
        known = {row["id"] for row in api.get("/api/v1/tasks").json()["items"]}
        began = time.monotonic()
        command = subprocess.Popen(
            [sys.executable, "-P", "-m", "dryad", "run", QUESTION],
            cwd=here.directory,
            env=here.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def task() -> dict[str, object] | None:
            rows = api.get("/api/v1/tasks").raise_for_status().json()["items"]
            new = [row["id"] for row in rows if row["id"] not in known]
            return here.task(new[0]) if new else None

        wait_for("the decision", lambda: bool((row := task()) and row["decision"]), seconds=120)
        decided = time.monotonic() - began
        wait_for("the end", lambda: bool((row := task()) and row["status"] == "done"), seconds=120)
        ended = time.monotonic() - began
        command.wait()
    return decided, ended


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_decision")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        here = installation(Path(name))
        began = time.monotonic()
        try:
            here.dryad("up", "--detach", seconds=300)
            up = time.monotonic() - began
            first = one_round(here)
            rest = [one_round(here) for _ in range(given.rounds)]
        finally:
            here.dryad("down", check=False)
    print(f"dryad up, of a new installation      {up:6.1f} s")
    print(f"first dryad run → decision           {first[0]:6.2f} s, → end {first[1]:.2f} s")
    decided, ended = (statistics.median(values) for values in zip(*rest, strict=True))
    print(f"later ones, median of {len(rest):<3}            {decided:6.2f} s, → end {ended:.2f} s")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
