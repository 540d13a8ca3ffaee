"""Many real processes doing the same thing at the same moment.

    python -m tests.crowd COUNT MODULE:FUNCTION ARGUMENT…

imports the module once, forks, lets all children begin together, and prints how each ended.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Ended:
    """How one process of the crowd ended."""

    status: int
    said: str
    complained: str


def crowd(count: int, function: str, *arguments: object, seconds: float = 120) -> list[Ended]:
    """Call `module:function` with the text of `arguments` in `count` processes at once.

    What the function returns is printed by its process, and comes back as `said`.
    """
    command = [sys.executable, "-m", "tests.crowd", str(count), function, *map(str, arguments)]
    ran = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return [Ended(**one) for one in json.loads(ran.stdout)]


def _run_all(count: int, work: Callable[[], object], directory: Path) -> list[Ended]:
    waiting, go = os.pipe()
    children: list[int] = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(go)
            _run_one(waiting, work, directory / str(number))
        children.append(child)
    os.close(go)  # the end of the pipe is the sign to begin
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return [
        Ended(status, *((directory / f"{number}{end}").read_text().strip() for end in (".o", ".e")))
        for number, status in enumerate(statuses)
    ]


def _run_one(waiting: int, work: Callable[[], object], name: Path) -> None:
    for number, end in ((1, ".o"), (2, ".e")):
        os.dup2(os.open(name.with_suffix(end), os.O_WRONLY | os.O_CREAT), number)
    os.read(waiting, 1)
    try:
        print(work(), flush=True)  # noqa: T201 - this is how a process answers
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child must never run on as its parent
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    module, function = sys.argv[2].split(":")
    work = getattr(importlib.import_module(module), function)
    with tempfile.TemporaryDirectory() as scratch:
        ended = _run_all(int(sys.argv[1]), lambda: work(*sys.argv[3:]), Path(scratch))
    json.dump([asdict(one) for one in ended], sys.stdout)
