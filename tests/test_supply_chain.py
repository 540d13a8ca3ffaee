"""What is installed is what was reviewed: locked by hash, and CI installs the lock."""

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_locked_by_hash():
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    foreign = [package for package in lock["package"] if package["name"] != ours]
    assert len(foreign) > 100
    for package in foreign:
        assert set(package["source"]) == {"registry"}, package["name"]  # no branch, no path
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        assert files, package["name"]
        for file in files:
            assert file["hash"].startswith("sha256:"), file["url"]


def test_the_lock_is_that_of_the_project_and_the_tests_install_nothing_else():
    # Without a network: the lock answers, or it is out of date.
    subprocess.run(["uv", "lock", "--check", "--offline"], cwd=ROOT, check=True, timeout=120)
    assert "UV_LOCKED=1" in (ROOT / ".ci" / "run").read_text()
