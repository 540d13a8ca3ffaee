"""Start processes, start the ones that die again, stop them in order.

One thread, which looks four times a second. Every process is on a tether (`tether.py`): it dies
with the supervisor, however that ends.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dryad.foundation import logs
from dryad.foundation.errors import Unavailable
from dryad.platform import tether
from dryad.platform.instance import Entry, Instance, born
from dryad.platform.progress import failed

TICK_SECONDS = 0.25
SETTLED_SECONDS = 60.0
"""A process that lived so long is started again at once when it dies."""
LONGEST_PAUSE_SECONDS = 30.0
STARTS_BEFORE_GIVING_UP = 3
"""So often a process may end before it was ever ready; then `dryad up` fails."""
OUTPUT_BYTES = 10_000_000
_TAIL_BYTES = 4000

log = logs.get_logger("platform")


@dataclass(frozen=True)
class Command:
    """One process: how it is started, when it is ready, how long it may take to stop."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    port: int | None = None
    ready: Callable[[], bool] = lambda: True
    settle_seconds: float = 0.0
    """It is not ready before it has lived so long; for what offers nothing to ask."""
    stop_seconds: float = 10.0


@dataclass
class Child:
    """A process of the supervisor, over its restarts."""

    command: Command
    process: "subprocess.Popen[bytes]"
    output: Path
    began: float
    """Monotonic seconds."""
    since: float
    born: float
    restarts: int = 0
    state: Literal["starting", "ready", "waiting"] = "starting"
    ever_ready: bool = False
    due: float = 0.0
    """Monotonic seconds; when a dead one is started again."""

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def tail(self, lines: int = 1) -> str:
        """The last lines it printed, or ''."""
        with self.output.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            printed = stream.read().decode(errors="replace").strip().splitlines()
        return " ".join(line.strip() for line in printed[-lines:])


class Supervisor:
    """Keeps the processes of one instance running until told to stop."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._children: dict[str, Child] = {}
        self._stop = threading.Event()
        self._hurry = False
        self._rotated = time.monotonic()

    def heed_signals(self) -> None:
        """Stop at SIGTERM, SIGINT or SIGHUP; a second one lets nothing finish any more."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: self.stop_soon())

    def stop_soon(self) -> None:
        """Make `watch`, `wait` and `finish` return; called again, make `stop` kill."""
        self._hurry = self._stop.is_set()
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop.is_set()

    def start(self, command: Command) -> None:
        """Start a process that is kept running."""
        self._children[command.name] = self._spawn(command)
        self._write()

    def finish(self, command: Command, *, seconds: float) -> str:
        """Run a command that ends by itself, and return what it printed.

        Raises:
            DryadError: the one it failed with, where it told (`progress.failure`).
            Unavailable: it failed otherwise, or took longer than `seconds`.
        """
        child = self._spawn(command, fresh=True)
        deadline = time.monotonic() + seconds
        while child.alive and not self._stop.is_set() and time.monotonic() < deadline:
            self._tick()
        if child.alive:
            self._end(child, 2.0)
        if child.process.returncode != 0 and not self._stop.is_set():
            said = child.tail(2) or f"it took longer than {seconds:.0f} s"
            told = failed(child.tail())
            raise told or Unavailable(f"{command.name} failed: {said}", f"Read {child.output}.")
        return child.output.read_text(errors="replace")

    def wait(self, names: Sequence[str], *, seconds: float) -> None:
        """Wait until these processes are ready.

        Raises:
            Unavailable: one of them keeps ending, or is not ready within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not self._stop.is_set():
            children = [self._children[name] for name in names]
            if all(child.state == "ready" for child in children):
                return
            for child in children:
                self._give_up(child, late=time.monotonic() > deadline)
            self._tick()

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Keep everything running until somebody asks to stop, or `until` holds."""
        while not self._stop.is_set() and not until():
            self._tick()

    def stop(self, order: Sequence[str], say: Callable[[str], None]) -> None:
        """Stop for good; see `halt`."""
        self._stop.set()
        self.halt(order, say)

    def halt(self, order: Sequence[str], say: Callable[[str], None]) -> None:
        """Stop the processes one after the other, each with its time; the rest at the end."""
        for name in [*order, *(set(self._children) - set(order))]:
            child = self._children.pop(name, None)
            if child is not None and child.alive:
                say(name)
                self._end(child, child.command.stop_seconds)
                self._write()

    # -- helpers

    def _tick(self) -> None:
        """Look at every process once, then pause."""
        now, changed = time.monotonic(), False
        for child in list(self._children.values()):
            changed |= self._look(child, now)
        if changed:
            self._write()
        if now - self._rotated > SETTLED_SECONDS:
            self._rotated = now
            self._rotate()
        self._stop.wait(TICK_SECONDS)

    def _look(self, child: Child, now: float) -> bool:
        """Move one process on; whether its entry in the table changed."""
        if child.state == "waiting":
            if now < child.due:
                return False
            try:
                self._children[child.command.name] = self._again(child)
            except OSError as error:  # no memory or no file left: as good as dead again
                child.due = now + LONGEST_PAUSE_SECONDS
                log.error("process_not_started", process=child.command.name, reason=str(error))  # noqa: TRY400 - structured
            return True
        if not child.alive:
            self._mourn(child, now)
            return True
        settled = now - child.began >= child.command.settle_seconds
        if child.state == "starting" and settled and child.command.ready():
            child.state, child.ever_ready = "ready", True
            return True
        return False

    def _mourn(self, child: Child, now: float) -> None:
        if now - child.began >= SETTLED_SECONDS:
            child.restarts = 0
        pause = min(LONGEST_PAUSE_SECONDS, 2.0**child.restarts - 1)
        child.restarts += 1
        child.state, child.due = "waiting", now + pause
        log.error(
            "process_died",
            code="process_died",
            process=child.command.name,
            pid=child.process.pid,
            status=child.process.returncode,
            restarts=child.restarts,
            again_in_seconds=pause,
            said=child.tail(),
        )

    def _again(self, child: Child) -> Child:
        fresh = self._spawn(child.command)
        fresh.restarts, fresh.ever_ready = child.restarts, child.ever_ready
        return fresh

    def _give_up(self, child: Child, *, late: bool) -> None:
        if child.state != "ready" and (
            late or (not child.ever_ready and child.restarts >= STARTS_BEFORE_GIVING_UP)
        ):
            what = "was not ready in time" if late else f"ended {child.restarts} times"
            raise Unavailable(
                f"{child.command.name} {what}: {child.tail() or 'it printed nothing'}",
                f"Read {child.output}.",
            )

    def _spawn(self, command: Command, *, fresh: bool = False) -> Child:
        output = self._instance.directory / f"{command.name.replace(' ', '-')}.out"
        tied = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
        with output.open("wb" if fresh else "ab") as stream:
            # A session of its own: Ctrl-C at the terminal reaches the supervisor alone.
            process = subprocess.Popen(
                [*tied, *command.arguments],
                # Its last words are to stand last, and to stand there when it is killed.
                env={**command.environment, "PYTHONUNBUFFERED": "1"},
                cwd=self._instance.directory,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Child(
            command, process, output, time.monotonic(), time.time(), born(process.pid) or 0.0
        )

    def _end(self, child: Child, seconds: float) -> None:
        """Ask a process to end, and kill it when it has not within `seconds`, or in a hurry."""
        child.process.terminate()
        deadline = time.monotonic() + seconds
        while child.alive and time.monotonic() < deadline and not self._hurry:
            time.sleep(0.05)
        if child.alive:
            log.warning("process_killed", process=child.command.name, after_seconds=seconds)
            child.process.kill()
        child.process.wait()

    def _write(self) -> None:
        try:
            self._instance.write([_entry(child) for child in self._children.values()])
        except OSError as error:  # a full disk must not take the processes along
            log.warning("processes_not_written", reason=str(error))

    def _rotate(self) -> None:
        try:
            for child in self._children.values():
                rotate(child.output, OUTPUT_BYTES)
        except OSError as error:
            log.warning("output_not_rotated", reason=str(error))


def _entry(child: Child) -> Entry:
    return Entry(
        name=child.command.name,
        pid=child.process.pid,
        born=child.born,
        since=child.since,
        restarts=child.restarts,
        port=child.command.port,
        state=child.state,
    )


def rotate(output: Path, max_bytes: int) -> None:
    """Keep what a process printed below twice `max_bytes`: copied to `<name>.1`, then emptied.

    Lines printed in between may be lost; what matters is in the structured logs.
    """
    if output.stat().st_size >= max_bytes:
        shutil.copyfile(output, output.with_name(output.name + ".1"))
        os.truncate(output, 0)
