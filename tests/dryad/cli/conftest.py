"""The command line against a served installation: in this process, because starting one is slow."""

import io
import os
import subprocess
from collections.abc import Callable, Generator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from dryad.cli.main import main
from tests.dryad.api.conftest import House, serving

Done = subprocess.CompletedProcess[str]
Dryad = Callable[..., Done]


def call(arguments: tuple[str, ...], environ: Mapping[str, str], cwd: Path, stdin: str) -> Done:
    """Run `dryad` with an environment of its own; return how it ended and what it said."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as here:
        for name in [name for name in os.environ if name.startswith("DRYAD_")]:
            here.delenv(name)
        for name, value in environ.items():
            here.setenv(name, value)
        here.setattr("sys.stdin", io.StringIO(stdin))
        here.chdir(cwd)
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(arguments)
    status = ended.value.code
    assert isinstance(status, int)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@pytest.fixture
def installation(tmp_path: Path) -> Generator[House]:
    """A served installation on SQLite."""
    with serving(tmp_path / "home", f"sqlite:///{tmp_path / 'dryad.db'}") as house:
        yield house


@pytest.fixture
def dryad(installation: House, tmp_path: Path) -> Dryad:
    """`dryad` with the home, and so the operator's key, of that installation."""

    def run(*arguments: str, stdin: str = "", **environ: str) -> Done:
        return call(arguments, installation.environ | environ, tmp_path, stdin)

    return run


@pytest.fixture
def lonely(tmp_path: Path) -> Dryad:
    """`dryad` where no installation is."""

    def run(*arguments: str, stdin: str = "", **environ: str) -> Done:
        here = {"DRYAD_HOME": str(tmp_path / "nothing"), "DRYAD_API_PORT": "9"}
        return call(arguments, here | environ, tmp_path, stdin)

    return run
