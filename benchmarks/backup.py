"""A whole backup set, encrypted, against `pg_dump -Fc`: `just bench backup [MEGABYTES]`.

Fills a ledger on PostgreSQL with documents as the demo does, then keeps it both ways.
"""

import hashlib
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dryad.execution.memories import Document
from dryad.foundation.database import Database, migrate
from dryad.foundation.ids import TenantId
from dryad.foundation.secrets import Secrets
from dryad.foundation.tenants import Tenants
from dryad.memory.librarian import Librarian
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.sets import Backups
from dryad.operations.backups.sources import Stores, sqlite_path
from dryad.operations.backups.targets import DirectoryTarget
from tests import servers

TENANT = TenantId("bench")
WORDS = [hashlib.sha256(str(n).encode()).hexdigest()[: 3 + n % 8] for n in range(20_000)]


def fill(url: str, megabytes: int) -> None:
    """Shelve documents until the ledger holds about so much."""
    database = Database(url)
    migrate.upgrade(database)
    Tenants(database).create(TENANT, "Bench")
    librarian, chance, written = Librarian(database), random.Random(7), 0
    while written < megabytes * 1e6 / 2.5:  # a passage's bag of words takes its room too
        texts = [" ".join(chance.choices(WORDS, k=2_000)) for _ in range(50)]
        documents = [
            Document(f"Document {written}-{n}", text, f"{written}-{n}")
            for n, text in enumerate(texts)
        ]
        librarian.shelve_all(TENANT, documents)
        written += sum(map(len, texts))
    database.close()


def measure(name: str, url: str, home: Path) -> None:
    """Keep, verify and report one installation."""
    Secrets.create_or_read(home / "secrets")
    kept_in = home.parent / f"{home.name}-kept"
    stores = Stores(home, url, None, "", postgres_tools=servers.postgres_tools())
    backups = Backups(stores, [DirectoryTarget(kept_in)], home / "secrets", versions=dict)
    began = time.perf_counter()
    made = backups.create(Purpose()).manifest
    kept = time.perf_counter() - began
    began = time.perf_counter()
    found = backups.verify(backups.find(made.id))
    verified = time.perf_counter() - began
    assert found.good, found.problems
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sizes = f"open {made.plain_bytes / 1e6:.0f} MB, sealed {made.stored_bytes / 1e6:.0f} MB"
    print(
        f"{name:10}  {sizes}, kept in {kept:.2f} s, verified in {verified:.2f} s, "
        f"peak RSS {peak:.0f} MB"
    )


def main(megabytes: int) -> None:
    """Print how long each way takes."""
    with tempfile.TemporaryDirectory() as place, servers.postgres(Path(place)) as server:
        url = f"{server}/dryad"
        database = Database(f"{server}/postgres")
        with database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            connection.exec_driver_sql("CREATE DATABASE dryad")
        database.close()
        fill(url, megabytes)
        (Path(place) / "pg").mkdir()
        measure("postgresql", url, Path(place) / "pg")
        began = time.perf_counter()
        dump = Path(place) / "dump"
        subprocess.run(
            [servers.postgres_tools() / "pg_dump", "-Fc", f"--file={dump}",
             f"--dbname={url.replace('+psycopg', '')}"],
            check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        print(f"pg_dump -Fc: {dump.stat().st_size / 1e6:.0f} MB in {seconds:.2f} s, not encrypted")
        sqlite = f"sqlite:///{place}/lite/dryad.db"
        (Path(place) / "lite").mkdir()
        fill(sqlite, megabytes)
        print(f"SQLite file: {sqlite_path(sqlite).stat().st_size / 1e6:.0f} MB")
        measure("sqlite", sqlite, Path(place) / "lite")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
