"""Where the agent loop looks whether a step already happened, and writes that it did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from sqlalchemy.orm import Session

from dryad.foundation.ids import RunId
from dryad.foundation.journal import Journal, Lease
from dryad.foundation.tool_history import Called


@dataclass(frozen=True)
class Recorded:
    """A step that was begun before: `outcome` is there when it is `done`."""

    state: Literal["intended", "done", "doubtful"]
    outcome: Any = None


@dataclass(frozen=True)
class Approval:
    """A person's yes, about to be spent on exactly this call."""

    case: int
    step: str
    tool: str
    version: str
    arguments: Mapping[str, Any]
    policy_version: int = 0
    """The policy in force now; a yes given under another one has lapsed."""
    run: str = ""
    """The run whose call it is; the journal of that run says so, nobody else."""


class Lapsed(Exception):
    """The yes was real, but is good no longer: a person has to be asked again."""


Spend = Callable[[Session, Approval], None]
"""Marks an approval used, in the transaction of the intent; raises when it cannot be."""

Note = Callable[[Session, RunId, str, Called], None]
"""Puts a call into the history, in the transaction that records its step."""


class StepLog(Protocol):
    """The journal of one run, as its current carrier sees it. Blocking calls."""

    def find(self, path: str, ordinal: int, inputs: Any) -> Recorded | None:
        """Return the step if it was begun before, with the same inputs.

        Raises:
            Corrupt: it was begun with other inputs.
        """
        ...

    def intend(
        self, path: str, ordinal: int, inputs: Any, *, approval: Approval | None = None
    ) -> None:
        """Commit, before an effect, that it is about to happen, and spend its approval.

        Raises:
            Superseded: another process carries the run now.
            Refused: the approval cannot be spent on this.
            Lapsed: the approval is good no longer.
        """
        ...

    def record(
        self, path: str, ordinal: int, inputs: Any, outcome: Any, *, called: Called | None = None
    ) -> Any:
        """Commit the outcome, and a tool call to the history; return the recorded outcome.

        Raises:
            Superseded: another process carries the run now.
        """
        ...

    def doubt(self, path: str, ordinal: int, *, called: Called) -> None:
        """Commit that nobody knows whether the intended effect happened."""
        ...


class RunSteps:
    """The `StepLog` of the process that holds the lease of a run."""

    def __init__(
        self, journal: Journal, lease: Lease, *, spend: Spend, note: Note | None = None
    ) -> None:
        self._journal = journal
        self._lease = lease
        self._spend = spend
        self._note = note

    def find(self, path: str, ordinal: int, inputs: Any) -> Recorded | None:
        """See `StepLog.find`."""
        step = self._journal.find(self._lease.run, path, ordinal, inputs)
        return None if step is None else Recorded(step.state, step.outcome)

    def intend(
        self, path: str, ordinal: int, inputs: Any, *, approval: Approval | None = None
    ) -> None:
        """See `StepLog.intend`."""

        def spend(session: Session) -> None:
            if approval is not None:
                self._spend(session, replace(approval, run=self._lease.run))

        self._journal.intend(self._lease, path, ordinal, inputs, spend=spend)

    def record(
        self, path: str, ordinal: int, inputs: Any, outcome: Any, *, called: Called | None = None
    ) -> Any:
        """See `StepLog.record`."""
        also = self._noting(path, ordinal, called)
        return self._journal.record(self._lease, path, ordinal, inputs, outcome, also=also)

    def doubt(self, path: str, ordinal: int, *, called: Called) -> None:
        """See `StepLog.doubt`."""
        self._journal.doubt(self._lease, path, ordinal, also=self._noting(path, ordinal, called))

    def _noting(
        self, path: str, ordinal: int, called: Called | None
    ) -> Callable[[Session], None] | None:
        note, run = self._note, self._lease.run
        if note is None or called is None:
            return None
        return lambda session: note(session, run, f"{path}#{ordinal}", called)
