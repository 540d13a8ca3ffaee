"""One set into several targets at once; a target that fails loses its copy, and the rest go on."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from dryad.foundation import logs
from dryad.foundation.errors import DryadError, Unavailable
from dryad.operations.backups.manifest import SetId
from dryad.operations.backups.targets import Target

log = logs.get_logger("backups")


class Spread:
    """The targets that take a set."""

    def __init__(self, set_id: SetId, targets: Sequence[Target]) -> None:
        self.set_id = set_id
        self._left = list(targets)
        self.failed: dict[str, str] = {}
        """Target → why it holds no copy."""

    def require_room(self, wanted_bytes: int) -> None:
        """Leave out the targets that have no room; raises `Unavailable` when none is left."""
        self.each(lambda target: _require_room(target, wanted_bytes))

    def begin(self) -> None:
        """Begin the set, and clear away what dead makers left; raises as `require_room` does."""

        def begin(target: Target) -> None:
            for dead in target.partial():
                target.abandon(dead)
            target.begin(self.set_id)

        self.each(begin)

    @contextmanager
    def writing(self, file: str) -> Generator["Sink"]:
        """Open a new file in every target; raises as `require_room` does."""
        sink = Sink(self)
        self.each(lambda target: sink.add(target, target.write(self.set_id, file)))
        try:
            yield sink
        finally:
            sink.let_go(self.failed)
            self.each(sink.close)

    def publish(self, manifest: bytes) -> None:
        """Make the set visible; raises as `require_room` does."""
        self.each(lambda target: target.publish(self.set_id, manifest))

    def abandon(self) -> None:
        """Take the set away wherever it was begun."""
        for target in self._left:
            self._clear(target)

    def each(self, act: Callable[[Target], object]) -> None:
        """Do something in every target that still takes the set."""
        for target in list(self._left):
            try:
                act(target)
            except Exception as error:  # noqa: BLE001 - recorded: the set does without this target
                reason = error.message if isinstance(error, DryadError) else str(error)
                self.failed[target.name] = reason
                self._left.remove(target)
                log.error("backup_target_failed", target=target.name, reason=reason)  # noqa: TRY400 - structured
                self._clear(target)
        if not self._left:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.failed.items())
            raise Unavailable(f"no target takes the set: {reasons}")

    def _clear(self, target: Target) -> None:
        try:
            target.abandon(self.set_id)
        except DryadError as error:  # the next maker clears it away
            log.error("backup_left_behind", target=target.name, reason=error.message)  # noqa: TRY400 - structured


class Sink:
    """One file of a set, in every target."""

    def __init__(self, spread: Spread) -> None:
        self._spread = spread
        self._open: dict[str, IO[bytes]] = {}

    def add(self, target: Target, stream: IO[bytes]) -> None:
        """Write into this one too."""
        self._open[target.name] = stream

    def write(self, data: bytes, /) -> None:
        """Write into all."""
        self._spread.each(lambda target: self._open[target.name].write(data))

    def let_go(self, failed: Mapping[str, str]) -> None:
        """Close the files in targets that failed; what was not written yet cannot be."""
        for name in self._open.keys() & failed.keys():
            with suppress(OSError, DryadError):
                self._open.pop(name).close()

    def close(self, target: Target) -> None:
        """See that the file is kept; raises what the target raises."""
        self._open[target.name].close()


def _require_room(target: Target, wanted_bytes: int) -> None:
    room = target.free_bytes()
    if room is not None and room < wanted_bytes:
        raise Unavailable(
            f"{room / 1e6:,.0f} MB are free, a set may need {wanted_bytes / 1e6:,.0f} MB",
            "Free some disk there, or name another target in DRYAD_BACKUP_TARGETS.",
        )
