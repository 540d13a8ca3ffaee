"""A process that writes to memory and says what was acknowledged, until it is done or killed.

python -P -m tests.dryad.memory.writer recent|index LEDGER ADDRESS INSTALLATION COUNT FIRST
"""

import sys
from datetime import timedelta

from dryad.execution.memories import Document
from dryad.foundation.database import Database
from dryad.foundation.ids import TenantId
from dryad.memory.archivist import Archivist
from dryad.memory.index.chroma import ChromaIndex
from dryad.memory.librarian import Librarian
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.recent.redis import RedisMirror
from tests.dryad.memory.test_meaning import Letters

ACME = TenantId("acme")
KEYS = 7
PATIENCE = timedelta(seconds=2)


def write_recent(ledger: Database, address: str, installation: str, numbers: range) -> None:
    """Write ascending numbers under few keys, so that most are written over."""
    mirror = RedisMirror(address, installation=installation, timeout=PATIENCE)
    archivist = Archivist(ledger, copy=RecentCopy(ledger, mirror))
    for number in numbers:
        key = f"k{number % KEYS}"
        archivist.remember(ACME, "scout", key, number)
        acknowledge(key, number)


def write_index(ledger: Database, address: str, installation: str, numbers: range) -> None:
    """Shelve a document for each number."""
    index = ChromaIndex(address, installation=installation, timeout=5 * PATIENCE)
    copy = IndexCopy(ledger, index, Letters(), pause=timedelta(milliseconds=100))
    librarian = Librarian(ledger, embedder=Letters(), copy=copy)
    for number in numbers:
        shelved = librarian.shelve(ACME, Document("", told(number), str(number)))
        acknowledge(shelved.id, number)


def acknowledge(name: str, number: int) -> None:
    """Say that something is kept."""
    sys.stdout.write(f"{name} {number}\n")
    sys.stdout.flush()


def told(number: int) -> str:
    """Return a text whose letters say the number."""
    return " ".join("abcdefghij"[int(digit)] * 3 for digit in f"{number:05}") + f" {number}"


if __name__ == "__main__":
    kind, url, address, installation, count, first = sys.argv[1:]
    write = {"recent": write_recent, "index": write_index}[kind]
    write(Database(url), address, installation, range(int(first), int(first) + int(count)))
