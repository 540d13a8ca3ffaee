"""What tools work with, as level 1 sees it: search, storage and the sandbox."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from dryad.execution.memories import Document, Shelved
from dryad.foundation.ids import TenantId


class Found(Protocol):
    """A passage as a search returns it."""

    @property
    def document(self) -> str: ...  # noqa: D102 - named as in `Passage`
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def section(self) -> str: ...  # noqa: D102
    @property
    def start(self) -> int: ...  # noqa: D102
    @property
    def stop(self) -> int: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def provenance(self) -> str: ...  # noqa: D102


class Find(Protocol):
    """Finds in long-term memory; the Coordinator's `find` is one. Blocking."""

    def __call__(
        self, tenant: TenantId, agent: str, query: str, limit: int, *, category: str | None = None
    ) -> Sequence[Found]:
        """Return the best passages that `agent` may read, best first."""
        ...


class Shelve(Protocol):
    """Keeps a document for long; the Librarian's `shelve` is one. Blocking."""

    def __call__(self, tenant: TenantId, document: Document, /) -> Shelved:
        """Keep it, or say which document held the same text already."""
        ...


class Ran(Protocol):
    """What a program did."""

    @property
    def exit_code(self) -> int: ...  # noqa: D102 - named as in the sandbox's result
    @property
    def stdout(self) -> str: ...  # noqa: D102
    @property
    def stderr(self) -> str: ...  # noqa: D102
    @property
    def files(self) -> Mapping[str, bytes]: ...  # noqa: D102
    @property
    def removed(self) -> Collection[str]: ...  # noqa: D102
    @property
    def violations(self) -> Sequence[str]: ...  # noqa: D102


class RunCode(Protocol):
    """Runs a Python program with files beside it, inside the sandbox and nowhere else."""

    async def __call__(self, code: str, files: Mapping[str, bytes], /) -> Ran:
        """Run it to its end.

        Raises:
            Refused: this machine has no sandbox that is good enough.
        """
        ...
