"""What a killed process kept in its temporary directory is gone when the next one begins."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from dryad.platform.scratch import scratch
from tests.servers import clean_environment

HOLDS = """
import sys, tempfile
from dryad.platform.scratch import scratch
with scratch("kept-"):
    tempfile.mkdtemp()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def holder(place: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS],
        env=clean_environment() | {"TMPDIR": str(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_is_temporary_lies_in_it_and_goes_with_it(place: Path) -> None:
    with scratch("kept-") as directory:
        inner = Path(tempfile.mkdtemp())
        started = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]
        child = subprocess.run(started, capture_output=True, text=True, check=True)
        assert inner.parent == directory == Path(child.stdout.strip())
        assert directory.stat().st_mode & 0o077 == 0
    assert list(place.iterdir()) == []
    assert (os.environ["TMPDIR"], tempfile.gettempdir()) == (str(place), str(place))


def test_the_next_one_sweeps_what_a_killed_one_left_and_nothing_that_is_held(place: Path) -> None:
    (place / "kept-by-somebody").mkdir()
    killed, lives = holder(place), holder(place)
    killed.kill()
    killed.communicate()
    assert len(list(place.iterdir())) == 3
    with scratch("kept-") as directory:
        held = next(path for path in place.glob("kept-*/") if any(path.glob("tmp*")))
        assert {path.name for path in place.iterdir()} == {
            "kept-by-somebody", held.name, directory.name,
        }  # fmt: skip
    lives.communicate("")
    assert lives.returncode == 0
    assert [path.name for path in place.iterdir()] == ["kept-by-somebody"]
