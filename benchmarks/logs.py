"""Compare DRYAD's logs with the standard library writing the same JSON lines to one file.

    python -m benchmarks.logs

Prints microseconds per line and the ratio; both write in turns, in one process, and the best of
several rounds counts. The standard library uses `WatchedFileHandler`, which like ours notices an
external rotation, and `json.dumps`.
"""

import json
import logging
import logging.handlers
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from dryad.foundation import logs

LINES = 20_000
ROUNDS = 5


class JsonFormatter(logging.Formatter):
    """The usual way to write JSON with the standard library."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "component": record.name,
            "event": record.getMessage(),
            **record.values,  # type: ignore[attr-defined]
        }
        return json.dumps(line)


def standard(directory: Path) -> Callable[[int], None]:
    handler = logging.handlers.WatchedFileHandler(directory / "standard.log")
    handler.setFormatter(JsonFormatter())
    log = logging.getLogger("benchmark")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False

    def say(number: int) -> None:
        values = {
            "tenant_id": "acme",
            "task_id": "task_1",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "tool": "search",
            "attempt": number,
            "duration_ms": 12.5,
        }
        log.info("tool_called", extra={"values": values})

    return say


def ours(directory: Path) -> Callable[[int], None]:
    logs.configure(directory, component="benchmark")
    log = logs.get_logger("benchmark")

    def say(number: int) -> None:
        log.info("tool_called", tool="search", attempt=number, duration_ms=12.5)

    return say


def microseconds(say: Callable[[int], None]) -> float:
    began = time.process_time()
    for number in range(LINES):
        say(number)
    return (time.process_time() - began) / LINES * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        theirs, mine = standard(directory), ours(directory)
        with logs.bound(tenant="acme", task="task_1", trace="0af7651916cd43dd8448eb211c80319c"):
            rounds = [(microseconds(theirs), microseconds(mine)) for _ in range(ROUNDS)]
    slow, fast = min(a for a, _ in rounds), min(b for _, b in rounds)
    sys.stdout.write(
        f"standard library {slow:.1f} us a line, DRYAD {fast:.1f} us a line: {slow / fast:.2f} x\n"
    )


if __name__ == "__main__":
    main()
