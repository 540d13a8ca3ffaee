"""The page of controls names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/internals/controls.md").read_text()


def test_each_of_the_sixteen_controls_names_its_proof():
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 17))
    for number, proof in rows:
        assert "`" in proof, number


def test_every_test_it_names_is_there():
    named = re.findall(r"`(tests/[\w/.]+)::(test_\w+)`", PAGE)
    assert len(named) > 30
    for path, name in named:
        assert re.search(rf"def {name}\(", (ROOT / path).read_text()), f"{path} has no {name}"


def test_what_is_installed_is_locked():
    assert (ROOT / "uv.lock").exists()
    assert "UV_LOCKED=1" in (ROOT / ".ci/run").read_text()
