"""What already happened in a run, who carries the run now, and the fence between attempts.

A run is carried by one process at a time. It claims the run and gets an *attempt* number; every
write carries the number and is refused when a newer attempt exists. A step is found again by
(path, ordinal) and compared by the digest of its inputs.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dryad.foundation.canonical import digest
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database.engine import Database
from dryad.foundation.database.models import LeaseRow, StepRow
from dryad.foundation.errors import Corrupt, Superseded
from dryad.foundation.ids import RunId

_STEPS = cast("Table", StepRow.__table__)


@dataclass(frozen=True)
class Lease:
    """The right to carry a run until it expires: only the latest attempt may write."""

    run: RunId
    attempt: int


@dataclass(frozen=True)
class Step:
    """One recorded step: `outcome` is there when it is `done`."""

    path: str
    ordinal: int
    digest: str
    state: Literal["intended", "done", "doubtful"]
    outcome: Any
    attempt: int

    @property
    def id(self) -> str:
        """Name of the step inside its run; idempotent tools are given it."""
        return f"{self.path}#{self.ordinal}"


class Past:
    """What was recorded of a run when a process took it over: looked up without the database."""

    def __init__(self, run: RunId, steps: list[Step]) -> None:
        self._run = run
        self._steps = {(step.path, step.ordinal): step for step in steps}

    def find(self, path: str, ordinal: int, inputs: Any) -> Step | None:
        """Return the step if it was begun before.

        Raises:
            Corrupt: it was recorded with other inputs.
        """
        step = self._steps.get((path, ordinal))
        return None if step is None else _same(self._run, step, digest(inputs))


class Journal:
    """The one source of truth for "this step already happened"."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock = utc_now,
        lease: timedelta = timedelta(seconds=30),
    ) -> None:
        self._database = database
        self._clock = clock
        self._lease = lease

    # -- leases

    def claim(self, run: RunId, *, holder: str) -> Lease:
        """Take the run over: raise its attempt, so that every earlier process is fenced off."""
        with self._database.transaction() as session:
            row = session.get(LeaseRow, run, with_for_update=True)
            if row is None:
                row = LeaseRow(run=run, attempt=0, holder=holder, expires=self._clock())
                session.add(row)
            row.attempt += 1
            row.holder = holder
            row.expires = self._clock() + self._lease
            row.released = None
            return Lease(run, row.attempt)

    def renew(self, lease: Lease) -> None:
        """Stay believed for another lease period.

        Raises:
            Superseded: a newer attempt exists.
        """
        self._change_lease(lease, expires=self._clock() + self._lease)

    def release(self, lease: Lease) -> None:
        """Say that this process is done with the run: it ended or waits for a person.

        Raises:
            Superseded: a newer attempt exists.
        """
        self._change_lease(lease, released=self._clock())

    def is_carried(self, run: RunId) -> bool:
        """Whether a process holds the run and is still believed."""
        with self._database.reading() as session:
            row = session.get(LeaseRow, run)
            return row is not None and row.released is None and row.expires > self._clock()

    def lapsed(self, *, limit: int = 100) -> list[Lease]:
        """Return the leases whose process is no longer believed, oldest first."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(LeaseRow)
                .where(LeaseRow.released.is_(None), LeaseRow.expires < self._clock())
                .order_by(LeaseRow.expires)
                .limit(limit)
            )
            return [Lease(RunId(row.run), row.attempt) for row in rows]

    def fence(self, lease: Lease) -> bool:
        """Refuse every further write of `lease`; False when a newer attempt did so already."""
        with self._database.transaction() as session:
            changed = session.execute(
                update(LeaseRow)
                .where(LeaseRow.run == lease.run, LeaseRow.attempt == lease.attempt)
                .values(attempt=lease.attempt + 1, released=self._clock())
            )
            return changed.rowcount == 1  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]

    def revoke(self, run: RunId) -> None:
        """Refuse every further write of whoever carries the run: it shall go no further."""
        with self._database.transaction() as session:
            session.execute(
                update(LeaseRow)
                .where(LeaseRow.run == run)
                .values(attempt=LeaseRow.attempt + 1, released=self._clock())
            )

    def holds(self, lease: Lease) -> bool:
        """Whether no newer attempt exists; a look that locks nothing."""
        with self._database.reading() as session:
            latest = session.scalar(select(LeaseRow.attempt).where(LeaseRow.run == lease.run))
            return latest == lease.attempt

    def check(self, lease: Lease, session: Session) -> None:
        """Refuse, inside the caller's transaction, when `lease` is not the latest.

        Raises:
            Superseded: a newer attempt exists.
        """
        latest = session.execute(
            select(LeaseRow.attempt).where(LeaseRow.run == lease.run).with_for_update()
        ).scalar_one_or_none()
        if latest != lease.attempt:
            raise Superseded(f"run {lease.run} is carried by attempt {latest}, not {lease.attempt}")

    # -- steps

    def steps(self, run: RunId) -> list[Step]:
        """Return everything recorded of a run, in the order it began."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(StepRow).where(StepRow.run == run).order_by(StepRow.started, StepRow.ordinal)
            )
            return [_step(row) for row in rows]

    def forget(self, runs: Collection[RunId]) -> int:
        """Drop everything recorded of these runs; return how many steps that were."""
        with self._database.transaction() as session:
            steps = session.execute(
                delete(StepRow).where(StepRow.run.in_(runs)).returning(StepRow.ordinal)
            ).all()
            session.execute(delete(LeaseRow).where(LeaseRow.run.in_(runs)))
            return len(steps)

    def past(self, run: RunId) -> Past:
        """Read everything recorded of a run at once; what others record later is not in it."""
        return Past(run, self.steps(run))

    def find(self, run: RunId, path: str, ordinal: int, inputs: Any) -> Step | None:
        """Return the step if it was begun or done before.

        Raises:
            Corrupt: it was recorded with other inputs.
        """
        with self._database.reading() as session:
            row = session.get(StepRow, (run, path, ordinal))
            return None if row is None else _same(run, _step(row), digest(inputs))

    def intend(
        self,
        lease: Lease,
        path: str,
        ordinal: int,
        inputs: Any,
        *,
        spend: Callable[[Session], None] | None = None,
    ) -> Step:
        """Record, before an effect, that it is about to happen.

        Args:
            lease: The right to write.
            path: Names the step within its run; with `ordinal` it is unique.
            ordinal: Which call of that path it is, from 1.
            inputs: What the step is given, as JSON; compared by digest when met again.
            spend: Runs in the same transaction: an approval used, a budget reserved.

        Returns:
            The step as recorded now, or as recorded earlier when it was begun before.
        """
        wanted = digest(inputs)
        with self._database.transaction() as session:
            self.check(lease, session)
            row = session.get(StepRow, (lease.run, path, ordinal))
            if row is not None:
                return _same(lease.run, _step(row), wanted)
            if spend is not None:
                spend(session)
            row = StepRow(
                run=lease.run,
                path=path,
                ordinal=ordinal,
                digest=wanted,
                state="intended",
                attempt=lease.attempt,
                started=self._clock(),
            )
            session.add(row)
            return _step(row)

    def record(
        self,
        lease: Lease,
        path: str,
        ordinal: int,
        inputs: Any,
        outcome: Any,
        *,
        also: Callable[[Session], None] | None = None,
    ) -> Any:
        """Record the outcome of a step, with or without an intent before it.

        Returns:
            The recorded outcome: `outcome`, or the one that was recorded earlier.

        Raises:
            Superseded: a newer attempt carries the run.
            Corrupt: the step is recorded with other inputs.
        """
        wanted, now = digest(inputs), self._clock()
        with self._database.transaction() as session:
            self.check(lease, session)
            kept: dict[str, Any] = {
                "state": "done",
                "attempt": lease.attempt,
                "finished": now,
                "outcome": {"value": outcome},
            }
            place = {"run": lease.run, "path": path, "ordinal": ordinal}
            if not self._insert(session, place | kept | {"digest": wanted, "started": now}):
                row = session.get_one(StepRow, tuple(place.values()))
                if _same(lease.run, _step(row), wanted).state == "done":
                    return (row.outcome or {}).get("value")
                for column, value in kept.items():
                    setattr(row, column, value)
            if also is not None:
                also(session)
            return outcome

    def doubt(
        self,
        lease: Lease,
        path: str,
        ordinal: int,
        *,
        also: Callable[[Session], None] | None = None,
    ) -> None:
        """Record that nobody knows whether the intended effect happened; a person decides."""
        with self._database.transaction() as session:
            self.check(lease, session)
            session.execute(
                update(StepRow)
                .where(
                    StepRow.run == lease.run,
                    StepRow.path == path,
                    StepRow.ordinal == ordinal,
                    StepRow.state == "intended",
                )
                .values(state="doubtful", attempt=lease.attempt)
            )
            if also is not None:
                also(session)

    def _insert(self, session: Session, values: Mapping[str, Any]) -> bool:
        """Insert a step, in one statement, unless it is there already."""
        # Every step of every run comes this way, and the unit of work costs twice as much.
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        new = insert(_STEPS).on_conflict_do_nothing().returning(_STEPS.c.ordinal)
        return session.connection().execute(new, values).first() is not None

    def _change_lease(self, lease: Lease, **values: datetime) -> None:
        with self._database.transaction() as session:
            self.check(lease, session)
            session.execute(update(LeaseRow).where(LeaseRow.run == lease.run).values(**values))


def _step(row: StepRow) -> Step:
    return Step(
        path=row.path,
        ordinal=row.ordinal,
        digest=row.digest,
        state=row.state,  # pyright: ignore[reportArgumentType] - the CHECK constraint holds it
        outcome=(row.outcome or {}).get("value"),
        attempt=row.attempt,
    )


def _same(run: str, step: Step, wanted: str) -> Step:
    if step.digest != wanted:
        raise Corrupt(
            f"step {step.id} of run {run} was recorded with other inputs",
            "The flow's code changed under a waiting run: raise its flow contract number.",
        )
    return step
