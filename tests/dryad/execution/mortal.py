"""A step log that ends its process at a chosen moment."""

from collections.abc import Callable
from typing import Any

from dryad.execution.steps import Approval, Recorded, StepLog
from dryad.foundation.tool_history import Called


class Mortal:
    """A step log whose process dies at the n-th moment, before or after a commit; 0: never."""

    def __init__(self, steps: StepLog, dies_at: int, die: Callable[[], object]) -> None:
        self._steps = steps
        self._dies_at = dies_at
        self._die = die
        self.moments = 0

    def _moment(self) -> None:
        self.moments += 1
        if self.moments == self._dies_at:
            self._die()

    def find(self, path: str, ordinal: int, inputs: Any) -> Recorded | None:
        return self._steps.find(path, ordinal, inputs)

    def intend(
        self, path: str, ordinal: int, inputs: Any, *, approval: Approval | None = None
    ) -> None:
        self._moment()
        self._steps.intend(path, ordinal, inputs, approval=approval)
        self._moment()

    def record(
        self, path: str, ordinal: int, inputs: Any, outcome: Any, *, called: Called | None = None
    ) -> Any:
        self._moment()
        recorded = self._steps.record(path, ordinal, inputs, outcome, called=called)
        self._moment()
        return recorded

    def doubt(self, path: str, ordinal: int, *, called: Called) -> None:
        self._moment()
        self._steps.doubt(path, ordinal, called=called)
        self._moment()
