"""Many real processes doing the same thing at the same moment."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_START = """\
import importlib, sys
module, function = sys.argv[1].split(":")
work = getattr(importlib.import_module(module), function)
print("ready", flush=True)
sys.stdin.readline()
print(work(*sys.argv[2:]))
"""


@dataclass(frozen=True)
class Ended:
    """How one process of the crowd ended."""

    status: int
    said: str
    complained: str


def crowd(count: int, function: str, *arguments: object, seconds: float = 120) -> list[Ended]:
    """Call `module:function` with the text of `arguments` in `count` processes at once.

    Every process has imported what it needs before the first may begin. What the function returns
    is printed, and comes back as `said`.
    """
    command = [sys.executable, "-P", "-c", _START, function, *map(str, arguments)]
    processes = [
        subprocess.Popen(
            command,
            cwd=_ROOT,
            env={"PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        ended: list[Ended] = []
        for process in processes:
            said, complained = process.communicate(timeout=seconds)
            ended.append(Ended(process.returncode, said.strip(), complained))
        return ended
    finally:
        for process in processes:
            process.kill()
            process.communicate()
