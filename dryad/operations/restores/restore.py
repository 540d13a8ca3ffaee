"""One restore from its set to the restored state in place, or back."""

import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dryad.foundation import logs
from dryad.foundation.anchor import Anchor
from dryad.foundation.errors import Conflict, Corrupt, Refused, Unavailable
from dryad.foundation.secrets import Secrets
from dryad.operations.alone import alone
from dryad.operations.backups import opening, sources
from dryad.operations.backups.manifest import Manifest, Part, PartName
from dryad.operations.backups.postgres import Cluster
from dryad.operations.backups.sets import Backups, Listed
from dryad.operations.backups.sources import LEFT_OUT
from dryad.operations.backups.targets import Target
from dryad.operations.restores.journal import RestoreJournal
from dryad.operations.restores.leftovers import drop_leftovers, fresh_database
from dryad.operations.restores.marks import (
    Held,
    Origin,
    abandoned_heads,
    mark_ledger,
    mark_prefect,
)
from dryad.operations.restores.paths import restores
from dryad.operations.restores.request import requested
from dryad.operations.restores.switch import Places, Swap, back, forward, reset_heads

log = logs.get_logger("restores")


@dataclass(frozen=True)
class Outcome:
    """Which state is in force after a restore, or after the look at one that was cut off."""

    id: str
    set_id: str
    in_force: str
    """`restored` or `as before`."""
    reason: str = ""


class Restore:
    """A restore of an installation; the same code on a bare machine and under the supervisor.

    `prepare` may run while the installation works; `switch` and `roll_back` only while it does not.
    """

    def __init__(self, backups: Backups, anchor: Path, restore_id: str) -> None:
        self.id = restore_id
        self._backups = backups
        self._stores = backups.stores
        self._anchor = anchor
        self.directory = restores(self._stores.home) / restore_id
        self.journal = RestoreJournal(self.directory)

    @staticmethod
    def new(backups: Backups, anchor: Path) -> "Restore":
        """Return a restore that has not begun."""
        return Restore(backups, anchor, f"{backups.clock():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}")

    # -- make ready

    def prepare(self, wanted: Listed) -> Held:
        """Make fresh stores from a set, proved and marked, beside the live ones.

        Raises:
            Refused: the set is bad, or sealed for another key.
            Corrupt: a part is not as it was kept.
            Unavailable: a target, the database server or the disk failed.
        """
        if wanted.manifest is None or wanted.state in {"bad", "foreign"}:
            raise Refused(
                f"set {wanted.id} cannot be restored: {wanted.why}",
                "Use another set; `dryad backup list` shows which are verified.",
            )
        manifest, target = wanted.manifest, wanted.targets[0]
        self._forget_earlier()
        drop_leftovers(self._stores)
        self._require_room(manifest)
        try:
            (self.directory / "fresh").mkdir(mode=0o700, parents=True)
            with alone(self._stores.home):
                self._open(manifest, target)
            held = self._mark(manifest)
            self.journal.write(
                "prepared",
                self._backups.clock(),
                set=manifest.id,
                held=asdict(held),
                parts=[part.name for part in manifest.parts],
            )
        except BaseException:
            self.discard()
            raise
        log.info("restore_prepared", restore=self.id, set=manifest.id)
        return held

    def discard(self) -> None:
        """Take away fresh stores that were never switched in."""
        for name in ("dryad", "prefect"):
            url = self._stores.url(name)
            if url is not None and not self._stores.is_sqlite(name):
                cluster = self._stores.cluster(url)
                cluster.drop(self._fresh_database(cluster))
            elif url is not None:
                self._beside(sources.sqlite_path(url)).unlink(missing_ok=True)
        shutil.rmtree(self.directory / "fresh", ignore_errors=True)

    # -- change places

    def switch(self) -> None:
        """Put the fresh stores in place; raises `Conflict` when they are not ready for it."""
        if self.journal.last() != "prepared":
            raise Conflict(f"restore {self.id} is {self.journal.last() or 'not prepared'}")
        heads = self.directory / "before" / "heads"
        heads.mkdir(mode=0o700, parents=True, exist_ok=True)
        Anchor(heads).reset(Anchor(self._anchor).heads())
        parts = self.journal.entries()[0].detail["parts"]
        swaps = self._swaps(parts)
        self.journal.write("switching", self._backups.clock(), swaps=[asdict(s) for s in swaps])
        forward(swaps, self._places())
        reset_heads(self._anchor, self.directory / "fresh" / "heads")
        self.journal.write("switched", self._backups.clock())
        log.warning("restore_switched", restore=self.id)

    def finish(self) -> None:
        """Say that the restored state is good; what was before stays aside, for a person."""
        self.journal.write("done", self._backups.clock())
        log.warning("restore_done", restore=self.id)

    def roll_back(self, reason: str) -> None:
        """Put the state from before in place again; begun again, it goes on where it was."""
        self.journal.write("rolling_back", self._backups.clock(), reason=reason)
        back(self.journal.swaps(), self._places())
        if self.journal.swaps():
            reset_heads(self._anchor, self.directory / "before" / "heads")
        self.journal.write("rolled_back", self._backups.clock(), reason=reason)
        self.discard()
        log.error("restore_rolled_back", restore=self.id, reason=reason)

    def outcome(self) -> Outcome:
        """Say which state is in force."""
        last, entries = self.journal.last(), self.journal.entries()
        reasons = [str(entry.detail["reason"]) for entry in entries if "reason" in entry.detail]
        set_id = str(entries[0].detail["set"]) if entries else ""
        in_force = "restored" if last in {"switched", "done"} else "as before"
        return Outcome(self.id, set_id, in_force, reasons[-1] if reasons else "")

    # -- helpers

    def _forget_earlier(self) -> None:
        """Take away what ended restores replaced: the safety copies still hold it."""
        for directory in restores(self._stores.home).glob("*/before"):
            earlier = Restore(self._backups, self._anchor, directory.parent.name)
            if earlier.journal.last() not in {"done", "rolled_back"}:
                continue
            places = self._places()
            for swap in earlier.journal.swaps():
                places.remove(swap.kind, swap.aside)
            shutil.rmtree(directory)

    def _open(self, manifest: Manifest, target: Target) -> None:
        for part in manifest.parts:
            file = self.directory / f"{part.name}.open"
            if part.technology == "tar":
                opening.open_file(target, manifest, part, self._backups.key, file)
                found = opening.unpack_files(file, self.directory / "fresh" / "home")
                self._require_same(opening.differences(part, found, {}))
                file.unlink()
            elif part.technology == "env":
                opening.open_file(
                    target, manifest, part, self._backups.key, self.directory / "settings.env"
                )
        for name in ("dryad", "prefect"):
            part = manifest.part(name)
            if part is not None:
                self._open_database(manifest, target, part)

    def _open_database(self, manifest: Manifest, target: Target, part: Part) -> None:
        url, key = self._stores.url(part.name), self._backups.key
        if url is None:
            return  # the Prefect server is another's now
        if (part.technology == "sqlite") != sources.is_sqlite(url):
            raise Refused(
                f"the {part.name} database of the set is {part.technology}, the one here is not",
                "Set DRYAD_DATABASE_URL and DRYAD_PREFECT_DATABASE_URL as where it was made.",
            )
        if part.technology == "sqlite":
            file = self._fresh_file(url)
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            opening.open_file(target, manifest, part, key, file)
            self._require_same(opening.sqlite_problems(file, part))
            return
        cluster = self._stores.cluster(url)
        fresh = self._fresh_database(cluster)
        opening.open_postgres(target, manifest, part, key, into=cluster, database=fresh)
        self._require_same(opening.differences(part, *cluster.facts(fresh)))

    def _mark(self, manifest: Manifest) -> Held:
        origin = Origin(manifest.id, manifest.started, abandoned_heads(self._anchor))
        clock, runs = self._backups.clock, 0
        if manifest.part("prefect") is not None and self._stores.url("prefect") is not None:
            runs = mark_prefect(self._fresh_url("prefect"), origin, clock=clock)
        held = mark_ledger(
            self._fresh_url("dryad"),
            origin,
            key=Secrets.read(self._backups.secrets).audit_key,
            heads=self.directory / "fresh" / "heads",
            clock=clock,
        )
        return Held(held.tasks, held.cases, runs)

    def _swaps(self, parts: Sequence[str]) -> list[Swap]:
        """Return what changes places now; databases outside the home come last."""
        home, fresh, places = self._stores.home, self.directory / "fresh" / "home", self._places()
        names = {path.name for path in (*home.iterdir(), *fresh.iterdir())} - set(LEFT_OUT)
        pairs = [(home / name, fresh / name) for name in sorted(names)]
        found = [
            self._swap(live, new, self.directory / "before" / live.name, places)
            for live, new in pairs
            if live not in self._stores.outside
        ]
        for name in ("prefect", "dryad"):
            url = self._stores.url(name)
            if url is None or name not in parts:
                continue
            if not sources.is_sqlite(url):
                cluster = self._stores.cluster(url)
                aside = f"{cluster.database[:30]}_before_{self._suffix}"
                fresh_name = self._fresh_database(cluster)
                live = cluster.database
                there = places.there("database", live)
                found.append(Swap("database", live, fresh_name, aside, there, has_fresh=True))
            elif not sources.sqlite_path(url).is_relative_to(home):
                for end in ("", "-wal", "-shm"):
                    live = sources.sqlite_path(url)
                    live = live.with_name(live.name + end)
                    aside_path = live.with_name(f"{live.name}.before-{self.id}")
                    found.append(self._swap(live, self._beside(live), aside_path, places))
        return found

    @staticmethod
    def _swap(live: Path, fresh: Path, aside: Path, places: Places) -> Swap:
        has_live, has_fresh = places.there("path", str(live)), places.there("path", str(fresh))
        return Swap("path", str(live), str(fresh), str(aside), has_live, has_fresh)

    def _places(self) -> Places:
        for name in ("dryad", "prefect"):
            url = self._stores.url(name)
            if url is not None and not sources.is_sqlite(url):
                # One server: databases of two clusters would be two of these.
                return Places(self._stores.cluster(url))
        return Places(None)

    @property
    def _suffix(self) -> str:
        return self.id.replace("-", "_")

    def _fresh_database(self, cluster: Cluster) -> str:
        return fresh_database(cluster, self.id)

    def _beside(self, live: Path) -> Path:
        return live.with_name(f"{live.name}.restore-{self.id}")

    def _fresh_file(self, url: str) -> Path:
        """Where a fresh SQLite database waits: on the disk of the live one, so rename works."""
        live = sources.sqlite_path(url)
        if live.is_relative_to(self._stores.home):
            return self.directory / "fresh" / "home" / live.relative_to(self._stores.home)
        return self._beside(live)

    def _fresh_url(self, name: PartName) -> str:
        url = self._stores.url(name)
        assert url is not None
        if sources.is_sqlite(url):
            return f"sqlite:///{self._fresh_file(url)}"
        cluster = self._stores.cluster(url)
        return cluster.named(self._fresh_database(cluster))

    def _require_room(self, manifest: Manifest) -> None:
        """A set's open size, and the archive of its files beside what comes out of it."""
        files = manifest.part("files")
        wanted = manifest.plain_bytes + (files.plain_bytes if files else 0)
        free = shutil.disk_usage(self._stores.home).free
        if free < wanted:
            raise Unavailable(
                f"{free / 1e6:,.0f} MB are free, the fresh stores need {wanted / 1e6:,.0f} MB",
                "Free some disk where the home is; nothing was changed.",
            )

    @staticmethod
    def _require_same(problems: Sequence[str]) -> None:
        if problems:
            raise Corrupt("; ".join(problems), "Use another set; nothing was changed.")


def recover(backups: Backups, anchor: Path) -> list[Outcome]:
    """Bring every restore that was cut off to one state or the other, and say which.

    Only while nothing of the installation works. What was made ready and not asked for goes; what
    was half switched goes back; what was switched stays, to be proved by whoever starts it.

    Returns:
        The restores that were cut off.
    """
    cut_off: list[Outcome] = []
    with suppress(Unavailable):  # a database that does not answer holds up no other
        drop_leftovers(backups.stores)
    folder = restores(backups.stores.home)
    for directory in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not directory.is_dir():
            continue
        restore = Restore(backups, anchor, directory.name)
        last = restore.journal.last()
        if last in {"switching", "rolling_back"}:
            restore.roll_back("it was cut off while it switched")
        elif last == "prepared" and requested(backups) != restore.id:
            restore.roll_back("it was cut off before it switched")
        elif last is None:
            restore.discard()
            shutil.rmtree(directory)
            continue
        elif last != "switched":
            continue
        cut_off.append(restore.outcome())
    return cut_off
