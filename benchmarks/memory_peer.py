"""What adding and finding cost beside mem0 with its local store (Qdrant on disk).

Run: `uv run python -m benchmarks.memory_peer [--texts 1000]`. mem0 is not a dependency of this
project: it wants older libraries, so `uv` gives it an environment of its own. Neither asks a model:
mem0 adds without inference, vectors are generated, and what they cost is not counted.
"""

import argparse
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import numpy as np

PEER = "mem0ai==2.2.1"
DIMENSIONS = 384
LIMIT = 10
QUERIES = 30
BATCH = 50

T = TypeVar("T")


class Costs(NamedTuple):
    """CPU ms of one text added, of one added in batches, and of a search."""

    add_alone: float
    add_in_batches: float
    search: float


def told(count: int) -> list[str]:
    """Return texts of forty words, as frequent as in a language."""
    seed = random.Random(1)
    return [" ".join(f"w{int(30_000 ** seed.random())}" for _ in range(40)) for _ in range(count)]


def vector(text: str) -> list[float]:
    """Return a direction for a text, always the same one."""
    made = np.random.default_rng(list(text.encode())).normal(size=DIMENSIONS).astype(np.float32)
    return (made / np.linalg.norm(made)).tolist()


def halves(texts: list[str]) -> tuple[list[str], list[list[str]]]:
    """Return texts to be added one by one, and batches of the others."""
    alone, rest = texts[: len(texts) // 2], texts[len(texts) // 2 :]
    return alone, [rest[start : start + BATCH] for start in range(0, len(rest), BATCH)]


def costs(act: Callable[[T], object], texts: Sequence[T]) -> float:
    """Return the median CPU ms of `act`."""
    found: list[float] = []
    for text in texts:
        began = time.process_time()
        act(text)
        found.append((time.process_time() - began) * 1000)
    return statistics.median(found)


def mem0(texts: list[str], directory: str) -> Costs:
    """Measure mem0."""
    os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR=directory)
    library: Any = importlib.import_module("mem0")
    nobody = {"api_key": "none"}
    memory = library.Memory.from_config(
        {
            "vector_store": {
                "provider": "qdrant",
                "config": {
                    "path": f"{directory}/vectors",
                    "on_disk": True,
                    "embedding_model_dims": DIMENSIONS,
                },
            },
            "embedder": {"provider": "openai", "config": nobody},
            "llm": {"provider": "openai", "config": nobody},
            "history_db_path": f"{directory}/history.db",
        }
    )
    vectors = {text: vector(text) for text in texts}
    memory.embedding_model = SimpleNamespace(
        config=memory.embedding_model.config,
        embed=lambda text, *_, **__: vectors[text],
        embed_batch=lambda batch, *_, **__: [vectors[text] for text in batch],
    )
    alone, together = halves(texts)
    add = costs(lambda text: memory.add(text, user_id="bench", infer=False), alone)

    def add_all(batch: list[str]) -> None:
        messages = [{"role": "user", "content": text} for text in batch]
        memory.add(messages, user_id="bench", infer=False)

    batched = costs(add_all, together) / BATCH
    filters = {"user_id": "bench"}
    search = costs(lambda text: memory.search(text, filters=filters, top_k=LIMIT), alone[:QUERIES])
    memory.vector_store.client.close()
    return Costs(add, batched, search)


def dryad(texts: list[str], directory: str) -> Costs:
    """Measure long-term memory."""
    from dryad.execution.memories import Document  # noqa: PLC0415 - not in mem0's environment
    from dryad.foundation.clock import utc_now  # noqa: PLC0415
    from dryad.foundation.database import Database  # noqa: PLC0415
    from dryad.foundation.database.models import Base, TenantRow  # noqa: PLC0415
    from dryad.foundation.ids import TenantId  # noqa: PLC0415
    from dryad.memory.librarian import Librarian  # noqa: PLC0415

    database, tenant = Database(f"sqlite:///{directory}/bench.db"), TenantId("bench")
    Base.metadata.create_all(database.engine)
    with database.transaction() as session:
        session.add(TenantRow(id=tenant, name="bench", status="active", created=utc_now()))
    vectors = {text: vector(text) for text in texts}
    model: Any = SimpleNamespace(
        name="generated",
        dimensions=DIMENSIONS,
        embed=lambda batch: np.array([vectors[text.strip()] for text in batch], np.float32),
    )
    librarian = Librarian(database, embedder=model)
    alone, together = halves(texts)
    documents = {text: Document("", text, "bench") for text in texts}
    add = costs(lambda text: librarian.shelve(tenant, documents[text]), alone)
    batched = costs(
        lambda batch: librarian.shelve_all(tenant, [documents[text] for text in batch]), together
    )
    search = costs(lambda text: librarian.search(tenant, text, LIMIT), alone[:QUERIES])
    database.close()
    return Costs(add, batched / BATCH, search)


def measured(who: str, count: int) -> Costs:
    """Measure one of both in a process of its own."""
    apart = ["uv", "run", "-q", "--no-project", "--with", PEER, "--with", "numpy", "python"]
    command = apart if who == "mem0" else [sys.executable]
    done = subprocess.run(
        [*command, "-m", "benchmarks.memory_peer", "--only", who, "--texts", str(count)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return Costs(*json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print a table: both, and how many times as much the other costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000)
    parser.add_argument("--only", choices=["mem0", "dryad"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        run = {"mem0": mem0, "dryad": dryad}[arguments.only]
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(run(told(arguments.texts), str(Path(directory)))))
        return
    ours, theirs = (measured(who, arguments.texts) for who in ("dryad", "mem0"))
    print(f"| {arguments.texts:,} texts, CPU ms | DRYAD | {PEER} | ratio |\n|---|---|---|---|")
    for name, one, other in zip(Costs._fields, ours, theirs, strict=True):
        print(f"| {name.replace('_', ' ')} | {one:.2f} | {other:.2f} | {other / one:.1f} |")


if __name__ == "__main__":
    main()
