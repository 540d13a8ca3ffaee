"""Who imports whom, where an import contract cannot say it."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.test_house_rules import allowed

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import of the product, those inside functions too."""
    packages = ("dryad", "flows", "tasks", "blocks", "deployments")
    return grimp.build_graph(*packages, cache_dir=None)


def adapters() -> list[str]:
    """Return the module beside every `port.py`: one technology each."""
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for port in sorted((ROOT / "dryad").rglob("port.py"))
        for path in sorted(port.parent.glob("[!_]*"))
        if path != port and (path.suffix == ".py" or path.is_dir())
    ]


def test_adapters_are_chosen_and_wired_in_one_place(graph: grimp.ImportGraph):
    strangers: list[str] = []
    excepted = allowed("adapter")
    for adapter in adapters():
        folder = adapter.rpartition(".")[0]
        for module in {adapter, *graph.find_descendants(adapter)}:
            for importer in graph.find_modules_that_directly_import(module):
                beside = importer.startswith(f"{folder}.") and importer != f"{folder}.port"
                if importer not in {"dryad.adapters", "dryad.bootstrap", *excepted} and not beside:
                    strangers.append(f"{importer} imports {module}")
    assert strangers == []


WATCH = """
import importlib, logging, os, pkgutil, socket, sys, threading
touched = []

def watch(event, arguments):
    opened_to_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (
        os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if event in {"socket.connect", "socket.bind", "sqlite3.connect", "subprocess.Popen"}:
        touched.append(f"{event} {arguments!r}")
    elif opened_to_write:
        touched.append(f"open for writing {arguments[0]}")

import {package}
handlers = list(logging.getLogger().handlers)
sys.addaudithook(watch)
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
if threading.active_count() > 1:
    touched.append(f"threads {threading.enumerate()}")
if logging.getLogger().handlers != handlers:
    touched.append("logging was configured")
print(*touched, sep="\\n", end="")
"""


@pytest.mark.parametrize("package", ["dryad"])
def test_importing_opens_connects_and_configures_nothing(package: str, tmp_path: Path):
    """The levels and edges do nothing until they are asked."""
    done = subprocess.run(
        [sys.executable, "-B", "-P", "-c", WATCH.replace("{package}", package)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
