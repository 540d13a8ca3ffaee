"""The pinned libraries carry a Prefect server: it accepts its own client, and its scheduler fires.

With fastapi 0.151 and newer the server answers 422 to its own client; with SQLAlchemy 2.1 every
loop of its scheduler fails. Both leave a server that starts and looks well.
"""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests import servers

SCRIPT = """
from pathlib import Path
from prefect import flow

@flow
async def tick(file: str) -> None:
    Path(file).touch()

if __name__ == "__main__":
    tick.serve(name="often", interval=15, limit=1, parameters={"file": FILE})
"""


@pytest.mark.soak
def test_a_scheduled_run_fires(database_url: str, tmp_path: Path):
    (home := tmp_path / "prefect").mkdir()
    script, fired = tmp_path / "tick.py", tmp_path / "fired"
    script.write_text(SCRIPT.replace("FILE", repr(str(fired))))
    database = database_url.replace("psycopg", "asyncpg").replace("sqlite:", "sqlite+aiosqlite:")
    with servers.prefect(home, database=database) as server, (tmp_path / "log").open("wb") as log:
        environment = server.environment | {"PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        process = subprocess.Popen(
            [sys.executable, script], env=environment, cwd=tmp_path, stdout=log, stderr=log
        )
        try:
            servers.wait_for("the first scheduled run", fired.exists, seconds=120)
            user, _, password = server.auth.partition(":")
            runs = httpx.post(f"{server.url}/flow_runs/filter", json={}, auth=(user, password))
        finally:
            servers.stop(process)
    assert {run["auto_scheduled"] for run in runs.raise_for_status().json()} == {True}
