"""Open the parts of a set into fresh places; nothing that is live is ever written to."""

import os
import shutil
import sqlite3
import tarfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast

from dryad.foundation.errors import Corrupt, DryadError, Unavailable
from dryad.operations.backups.age import Sink
from dryad.operations.backups.facts import sqlite_facts
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.manifest import Manifest, Part
from dryad.operations.backups.postgres import Cluster
from dryad.operations.backups.sealing import unseal
from dryad.operations.backups.targets import Target


def open_part(
    target: Target, manifest: Manifest, part: Part, key: BackupKey, sink: Sink | None
) -> None:
    """Write one part, open, to `sink`; None only proves that it is as it was written.

    Raises:
        NotFound: the part is missing.
        Corrupt: it is truncated or was changed.
        Refused: it is sealed for another key.
        Unavailable: the target or the place it goes to failed.
    """
    where = f"part {part.name} of set {manifest.id} in {target.name}"
    try:
        with target.open(manifest.id, part.file) as source:
            unseal(source, sink, part, key, where=where)
    except OSError as error:
        raise Unavailable(f"{where} could not be read or written: {error}") from error


def open_file(target: Target, manifest: Manifest, part: Part, key: BackupKey, file: Path) -> Path:
    """Write one part, open, to a new private file; raises as `open_part` does."""
    file.touch(mode=0o600, exist_ok=False)
    with file.open("wb") as sink:
        open_part(target, manifest, part, key, sink)
    return file


def open_postgres(
    target: Target, manifest: Manifest, part: Part, key: BackupKey, *, into: Cluster, database: str
) -> None:
    """Put a dump into a new database; raises as `open_part` and `Cluster.restore` do.

    When it fails, the new database is gone again.
    """
    into.create(database)
    try:
        with into.restore(database) as sink:
            open_part(target, manifest, part, key, sink)
    except DryadError:
        into.drop(database)
        raise


def unpack_files(archive: Path, directory: Path) -> dict[str, int]:
    """Unpack the files of the home into a new directory; return how many of each kind.

    Raises:
        Corrupt: the archive is damaged, or would write outside the directory.
    """
    directory.mkdir(mode=0o700)
    counts = Counter[str]()
    try:
        with tarfile.open(archive, "r:") as packed:
            for entry in packed:
                _unpack(packed, entry, directory)
                counts["folders" if entry.isdir() else "files"] += 1
    except tarfile.TarError as error:
        raise Corrupt(f"the files of the home cannot be unpacked: {error}") from error
    return dict(counts)


def sqlite_problems(file: Path, part: Part) -> list[str]:
    """Return, in words, how a restored SQLite database differs from what was kept."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if whole != "ok":
                return [f"part {part.name}: SQLite finds it damaged: {whole}"]
            counts, positions = sqlite_facts(connection)
    except sqlite3.Error as error:
        return [f"part {part.name}: SQLite cannot read it: {error}"]
    return differences(part, counts, positions)


def differences(part: Part, counts: dict[str, int], positions: dict[str, Any]) -> list[str]:
    """Return, in words, how what was counted differs from what the manifest says."""
    found = [
        f"part {part.name}: {name} has {counts.get(name, 0):,} rows, kept were {kept:,}"
        for name, kept in part.counts.items()
        if counts.get(name, 0) != kept
    ]
    found += [f"part {part.name}: {name} was not kept" for name in counts.keys() - part.counts]
    if positions != part.positions:
        found.append(f"part {part.name}: schema or audit chains stand elsewhere than when kept")
    return found


def _unpack(packed: tarfile.TarFile, entry: tarfile.TarInfo, directory: Path) -> None:
    """Unpack one folder, or one file with its time and its owner's mode.

    Python's own filters do as much, but the Python of Debian 12 has none.
    """
    place = directory / entry.name
    if not place.resolve().is_relative_to(directory.resolve()):
        raise Corrupt(f"{entry.name[:200]!r} in the archive leads outside")
    if entry.isdir():
        place.mkdir(parents=True, exist_ok=True)
    elif entry.isreg():
        kept = cast("IO[bytes]", packed.extractfile(entry))
        with kept, place.open("wb") as out:
            shutil.copyfileobj(kept, out)
        place.chmod(entry.mode & 0o755 | 0o600)
        os.utime(place, (entry.mtime, entry.mtime))
    else:
        raise Corrupt(f"{entry.name[:200]!r} in the archive is neither a file nor a folder")
