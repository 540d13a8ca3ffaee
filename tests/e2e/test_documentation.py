"""What the documentation tells a reader to type works on a running installation."""

import subprocess
from pathlib import Path

import pytest

from tests.docs import runnable
from tests.e2e.conftest import Installation

PAGES = [page for page in runnable.pages() if page.stem != "runbook"]
"""The runbook replaces the installation it runs on; see `test_runbook.py`."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_marked_blocks_of_a_page_run(page: Path, installation: Installation):
    done = subprocess.run(
        ["bash", "-c", runnable.script(page)],
        cwd=runnable.ROOT,
        env=installation.environ | {"UV_NO_SYNC": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip()
