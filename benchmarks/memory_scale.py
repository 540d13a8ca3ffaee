"""How long-term memory grows: CPU, memory and disk at 1k to 1M generated passages.

Run: `uv run python -m benchmarks.memory_scale [--sizes 1000 10000 100000] [--tenants]`. Vectors are
generated, so nothing is measured of making them; each cold search is made in a fresh process.
"""

import argparse
import hashlib
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dryad.execution.memories import Document
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import Base, TenantRow
from dryad.foundation.ids import TenantId
from dryad.memory.librarian import Librarian
from dryad.memory.vectors import Floats

WORDS = 40
QUERIES = 30
BATCH = 1_000
VOCABULARY = 30_000


@dataclass(frozen=True)
class Generated:
    """A model whose vectors cost nothing and mean nothing."""

    name: str = "generated"
    dimensions: int = 384

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return a direction for each text, always the same one."""
        rows = [
            np.random.default_rng(
                int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
            ).normal(size=self.dimensions)
            for text in texts
        ]
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def text(seed: random.Random) -> str:
    """Return words as frequent as in a language: the n-th one 1/n as often as the first."""
    ranks = (int(VOCABULARY ** seed.random()) for _ in range(WORDS))
    return " ".join(f"w{rank}" for rank in ranks)


def fill(url: str, tenants: int, passages: int) -> float:
    """Shelve as many passages for each tenant; return CPU ms an added passage."""
    database, seed = Database(url), random.Random(1)
    Base.metadata.create_all(database.engine)
    names = [TenantId(f"t{number}") for number in range(tenants)]
    with database.transaction() as session:
        for name in names:
            session.add(TenantRow(id=name, name=name, status="active", created=utc_now()))
    librarian, cost = Librarian(database), 0.0
    for name in names:
        for start in range(0, passages, BATCH):
            count = min(BATCH, passages - start)
            texts = [Document("", text(seed), f"{start + n}") for n in range(count)]
            began = time.process_time()
            librarian.shelve_all(name, texts)
            cost += time.process_time() - began
    model = Librarian(database, embedder=Generated())
    for name in names:
        while model.embed_pending(name, limit=5_000):
            pass
    database.close()
    return cost * 1000 / (tenants * passages)


def ask(url: str, tenants: int, *, meaning: bool) -> str:
    """Search as a fresh process does; return `cold ms, median ms, MB it grew by`."""
    database = Database(url)
    librarian = Librarian(
        database, embedder=Generated() if meaning else None, resident_bytes=2_000_000_000
    )
    seed = random.Random(2)
    before = resident_mb()
    began = time.process_time()
    librarian.search(TenantId("t0"), text(seed)[:60])
    cold = (time.process_time() - began) * 1000
    for number in range(1, tenants):
        librarian.search(TenantId(f"t{number}"), "w1 w2")
    costs: list[float] = []
    for _ in range(QUERIES):
        query = " ".join(text(seed).split()[:8])
        if meaning:
            Generated().embed([query])  # what it costs is not counted below
        began = time.process_time()
        librarian.search(TenantId("t0"), query, 10)
        costs.append((time.process_time() - began) * 1000)
    grown = resident_mb() - before
    database.close()
    return f"{cold:.1f} | {statistics.median(costs):.2f} | {grown:.0f}"


def resident_mb() -> float:
    """Return the memory of this process now: its peak, as the system tells it, is its parent's."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def fresh(url: str, tenants: int, *, meaning: bool) -> str:
    """Ask in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory_scale", "--ask", url, str(tenants)]
    done = subprocess.run(
        [*command, *(["--meaning"] if meaning else [])],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # else idle threads spin, and that counts
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def row(tenants: int, passages: int) -> str:
    """Measure one size; return a row of the table."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bench.db"
        url = f"sqlite:///{path}"
        add = fill(url, tenants, passages)
        disk = sum(file.stat().st_size for file in Path(directory).iterdir()) / 1e6
        words, meaning = (fresh(url, tenants, meaning=m) for m in (False, True))
    return f"| {tenants:,} × {passages:,} | {add:.3f} | {words} | {meaning} | {disk:,.0f} |"


def main() -> None:
    """Print a table, one row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--tenants", action="store_true", help="also 1,000 tenants of 100 each")
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--meaning", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        print(ask(arguments.ask[0], int(arguments.ask[1]), meaning=arguments.meaning))
        return
    heads = "cold ms | search ms | MB"
    print(f"| tenants × passages | add ms | words: {heads} | with vectors: {heads} | disk MB |")
    print("|" + "---|" * 9)
    for size in arguments.sizes:
        print(row(1, size), flush=True)
    if arguments.tenants:
        print(row(1_000, 100), flush=True)


if __name__ == "__main__":
    main()
