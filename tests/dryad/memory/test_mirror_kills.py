"""Writers and mirrors that are killed lose nothing acknowledged, and tell nothing older."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dryad.foundation.database import Database
from dryad.memory.archivist import Archivist
from tests import servers
from tests.dryad.memory.conftest import ACME
from tests.dryad.memory.mirrored import SOON, Recent, Shelf, own_chroma, own_redis, recent, shelf
from tests.dryad.memory.writer import KEYS, told

__all__ = ["own_chroma", "own_redis", "recent", "shelf"]

ROOT = Path(__file__).parents[3]


@dataclass
class Acknowledged:
    """What writers said is kept: the newest number of each key, or the number of each document."""

    numbers: dict[str, int] = field(default_factory=dict[str, int])
    lines: int = 0

    def wait(self, process: "subprocess.Popen[str]", lines: int) -> None:
        """Wait for so many lines, or until the writer has ended."""
        servers.wait_for(
            "writes",
            lambda: process.poll() is not None or self.lines >= lines,
            seconds=500,
        )


@contextmanager
def writing(
    kind: str, ledger: Database, address: str, *, count: int, first: int, said: Acknowledged
) -> Iterator["subprocess.Popen[str]"]:
    """Run a writer, collecting what it says until it ends."""
    url = ledger.url.render_as_string(hide_password=False)
    command = [sys.executable, "-P", "-m", "tests.dryad.memory.writer"]
    process = subprocess.Popen(
        [*command, kind, url, address, "test", str(count), str(first)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("\n"):
                name, number = line.split()
                said.numbers[name] = max(said.numbers.get(name, -1), int(number))
                said.lines += 1

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        listener.join()
        assert process.stdout is not None
        process.stdout.close()


def keep_through_kills(recent: Recent, count: int) -> None:
    """Write `count` values while the writer and Redis are killed; no reader meets an older one."""
    said, seed = Acknowledged(), random.Random(7)
    address = f"redis://127.0.0.1:{recent.server.port}"
    first = 0
    while said.lines < count:
        before = said.lines
        with writing(
            "recent", recent.ledger, address, count=count, first=first, said=said
        ) as process:
            until = before + seed.randint(count // 10, count // 4)
            down_at = before + (until - before) // 2
            while process.poll() is None and said.lines < until:
                expected = dict(said.numbers)
                for key, number in expected.items():
                    value = recent.value(key)
                    assert isinstance(value, int)
                    assert value >= number
                if down_at is not None and said.lines >= down_at:
                    recent.server.kill()
                    down_at = None
                    down_until = said.lines + seed.randint(1, 5)
                elif down_at is None and said.lines >= down_until:
                    recent.server.start()
                    recent.copy.keep()
                    down_at = until
        recent.server.kill()
        recent.server.start()
        first = max(said.numbers.values()) + 100
    recent.copy.keep()
    for key, number in said.numbers.items():
        value = recent.value(key)
        assert isinstance(value, int)
        assert value >= number
    assert len(said.numbers) == KEYS
    assert recent.copy.check().found == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_kills_of_writer_and_redis_lose_no_acknowledged_value(recent: Recent):
    keep_through_kills(recent, 120)


@pytest.mark.soak
def test_kills_lose_no_acknowledged_value_of_thousands(recent: Recent):
    keep_through_kills(recent, 5_000)


@pytest.mark.parametrize("count", [25, pytest.param(1_250, marks=pytest.mark.soak)])
def test_four_processes_writing_at_once_lose_nothing(recent: Recent, count: int):
    said = [Acknowledged() for _ in range(4)]
    address = f"redis://127.0.0.1:{recent.server.port}"
    with ExitStack() as running:
        processes = [
            running.enter_context(
                writing("recent", recent.ledger, address, count=count, first=n * 10_000, said=one)
            )
            for n, one in enumerate(said)
        ]
        for process in processes:
            assert process.wait(timeout=500) == 0
    recent.copy.keep()
    ledger = Archivist(recent.ledger)
    for key in said[0].numbers:
        kept = ledger.recall(ACME, "scout", key)
        assert kept is not None
        assert recent.value(key) == kept.value
        assert kept.value in {one.numbers[key] for one in said}
    assert sum(one.lines for one in said) == 4 * count
    assert recent.copy.check().found == 0


def shelve_through_kills(ledger: Database, shelf: Shelf, count: int) -> None:
    """Shelve `count` documents while the writer and Chroma are killed."""
    said, seed = Acknowledged(), random.Random(11)
    address = f"http://127.0.0.1:{shelf.server.port}"
    first = 0
    while said.lines < count:
        before = said.lines
        with writing("index", ledger, address, count=count, first=first, said=said) as process:
            until = before + seed.randint(count // 6, count // 3)
            said.wait(process, (before + until) // 2)
            shelf.server.kill()
            said.wait(process, until)
        shelf.server.start()
        first = max(said.numbers.values()) + 100
    time.sleep(2 * SOON.total_seconds())
    shelf.copy.keep()
    for document, number in said.numbers.items():
        assert shelf.found(told(number)) == document
    assert shelf.librarian.degraded == ""
    assert shelf.copy.check().found == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_kills_of_writer_and_chroma_lose_no_acknowledged_document(ledger: Database, shelf: Shelf):
    shelve_through_kills(ledger, shelf, 60)


@pytest.mark.soak
def test_kills_lose_no_acknowledged_document_of_thousands(ledger: Database, shelf: Shelf):
    shelve_through_kills(ledger, shelf, 5_000)
