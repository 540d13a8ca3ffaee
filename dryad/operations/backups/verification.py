"""Look at a whole set: open every copy, restore one into a scratch place, and compare."""

import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from dryad.foundation.clock import Clock
from dryad.foundation.errors import Corrupt, NotFound, Refused
from dryad.operations.backups import opening
from dryad.operations.backups.key import BackupKey
from dryad.operations.backups.manifest import Manifest, Part, Verification
from dryad.operations.backups.postgres import prefix_of
from dryad.operations.backups.sources import Stores
from dryad.operations.backups.targets import Target

Proof = Callable[[str], Sequence[str]]
"""Takes the URL of a restored DRYAD database and returns, in words, what is wrong with it."""


@dataclass(frozen=True)
class Verifier:
    """Proves that sets restore, leaving nothing behind."""

    stores: Stores
    key: BackupKey
    proofs: Sequence[Proof]
    clock: Clock

    def verify(self, manifest: Manifest, targets: Sequence[Target]) -> Verification:
        """Say everything that is wrong with a set.

        Raises:
            Unavailable: a target or the database server failed: nothing is known of the set.
        """
        began, problems = time.monotonic(), list[str]()
        first, *others = targets
        scratch = self.stores.home / "scratch"
        scratch.mkdir(mode=0o700, exist_ok=True)
        place = Path(mkdtemp(dir=scratch))
        try:
            for part in manifest.parts:
                problems += self._guarded(self._restored, first, manifest, part, place)
                for other in others:
                    problems += self._guarded(self._whole, other, manifest, part, place)
        finally:
            shutil.rmtree(place)
        return Verification(
            set=manifest.id,
            manifest=manifest.digest,
            at=self.clock(),
            problems=tuple(problems),
            seconds=round(time.monotonic() - began, 2),
        )

    @staticmethod
    def _guarded(
        look: Callable[[Target, Manifest, Part, Path], list[str]],
        target: Target,
        manifest: Manifest,
        part: Part,
        place: Path,
    ) -> list[str]:
        try:
            return look(target, manifest, part, place)
        except (Corrupt, NotFound, Refused) as error:
            return [error.message]

    def _whole(self, target: Target, manifest: Manifest, part: Part, _place: Path) -> list[str]:
        opening.open_part(target, manifest, part, self.key, None)
        return []

    def _restored(self, target: Target, manifest: Manifest, part: Part, place: Path) -> list[str]:
        if part.technology == "postgresql":
            return self._in_postgres(target, manifest, part)
        file = opening.open_file(target, manifest, part, self.key, place / part.name)
        try:
            if part.technology == "sqlite":
                problems = opening.sqlite_problems(file, part)
                return problems or self._proved(part, f"sqlite:///{file}")
            if part.technology == "tar":
                counts = opening.unpack_files(file, place / "unpacked")
                return opening.differences(part, counts, {})
            return []
        finally:
            file.unlink()

    def _in_postgres(self, target: Target, manifest: Manifest, part: Part) -> list[str]:
        """Restore into a database of its own on the live server, and drop it again."""
        url = self.stores.url(part.name)
        if url is None or self.stores.is_sqlite(part.name):
            return [f"part {part.name}: there is no PostgreSQL here to restore it into"]
        cluster = self.stores.cluster(url)
        for left in cluster.leftovers("verify"):
            cluster.drop(left)  # one verifies at a time, so whoever made it was killed
        database = f"{prefix_of(cluster.database, 'verify')}{secrets.token_hex(4)}"
        opening.open_postgres(target, manifest, part, self.key, into=cluster, database=database)
        try:
            counts, positions = cluster.facts(database)
            problems = opening.differences(part, counts, positions)
            return problems or self._proved(part, cluster.named(database))
        finally:
            cluster.drop(database)

    def _proved(self, part: Part, url: str) -> list[str]:
        if part.name != "dryad":
            return []
        return [problem for proof in self.proofs for problem in proof(url)]
