"""Every command of the runbook that is marked to run, in order, on an installation of its own."""

import subprocess
from collections.abc import Callable

import pytest

from tests.docs import runnable
from tests.e2e.conftest import Installation

PAGE = runnable.ROOT / "docs" / "runbook.md"


@pytest.fixture(scope="module")
def house(start: Callable[..., Installation]) -> Installation:
    """An installation of its own: the runbook replaces it."""
    return start("runbook")


def test_the_runbook_does_what_it_says(house: Installation):
    done = subprocess.run(
        ["bash", "-c", runnable.script(PAGE)],
        cwd=runnable.ROOT,
        env=house.environ | {"UV_NO_SYNC": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    assert "safety copy: set" in done.stdout + done.stderr  # pruned by a later block
    assert house.json("validate")
