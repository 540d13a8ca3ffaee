"""Flows that tests deploy; by module path, as the real ones."""

import gc
import json
import os
import random
import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from prefect import flow, get_run_logger, suspend_flow_run, task
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.runtime import flow_run


@flow
async def write_note(path: str, text: str = "done") -> str:
    """Write `text` to a file, so that a test can see the run from outside."""
    here = Path.cwd()
    Path(path).write_text(f"{text} {os.getpid()} {here}")
    return text


def note_the_end(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Write beside what the run wrote how it ended."""
    del flow
    Path(f"{flow_run.parameters['path']}.hook").write_text(state.name or "")


@flow(on_cancellation=[note_the_end], on_crashed=[note_the_end])
async def hold_on(path: str, seconds: float = 60) -> None:
    """Write the process id to a file and keep the process busy."""
    Path(path).write_text(str(os.getpid()))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)


@flow
async def hold_the_interpreter(path: str) -> None:
    """Let no other thread of the process run, for ages."""
    Path(path).write_text(str(os.getpid()))
    re.match("(a+)+$", "a" * 60 + "b")


@flow
async def wait_for_a_word() -> None:
    """Suspend until somebody resumes the run."""
    await suspend_flow_run(timeout=None)


@flow
async def tell(path: str) -> None:
    """Write down what this process found, and leave a mark that no later run may find."""
    found = {
        "parent": os.getppid(),
        "environment": dict(os.environ),
        "mark": getattr(sys, "mark", ""),
        "random": random.random(),
        # Its generator would be seeded already, alike in every run.
        "numpy_random": "numpy.random" in sys.modules,
    }
    sys.__dict__["mark"] = "left behind"
    os.environ["MARK"] = "left behind"
    print("told")  # noqa: T201 - seen in the worker's output
    Path(path).write_text(json.dumps(found))


@flow
async def grow(size: int) -> None:
    """Use so many bytes of memory for a while."""
    held = bytearray(size)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(30)


@task
async def step(number: int) -> int:
    """Do next to nothing."""
    return number


@flow
async def chatter(lines: int, end: str = "return") -> None:
    """Log so many lines, do as many steps as ten lines, and end in the way asked for at once."""
    log = get_run_logger()
    for number in range(lines):
        if number % 10 == 0:
            await step(number)
        log.info("line %d", number)
    if end == "raise":
        raise ValueError("as agreed")
    if end == "exit":
        sys.exit(3)


@flow(retries=1)
async def fail_once(path: str) -> None:
    """Fail at the first attempt."""
    with Path(path).open("a") as file:
        file.write(f"{flow_run.run_count}\n")
    if flow_run.run_count == 1:
        raise ValueError("as agreed")


@flow
async def do_a_task(path: str) -> None:
    """Do a task as the product does, and write down which modules the run had to import."""
    from flows.orchestrate_task import TaskForm, orchestrate_task

    await orchestrate_task.fn(TaskForm(text="Summarise what DRYAD is in one sentence"))
    late = [one.__name__ for one in gc.get_objects() if isinstance(one, ModuleType)]
    Path(path).write_text(json.dumps(late))
