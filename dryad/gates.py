"""The gates of every level that is built, over one installation's services."""

from collections.abc import Callable, Sequence

from dryad.bootstrap import Services
from dryad.execution.gate import ExecutionGate
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.gate import FoundationGate, prepare_tenant
from dryad.foundation.tenants import DEFAULT
from dryad.foundation.validation import TENANT, Check, Validation, validate
from dryad.memory.gate import MemoryGate
from dryad.orchestration.gate import OrchestrationGate

LEVELS = {0: "foundation", 1: "execution", 2: "memory", 3: "orchestration"}
"""What is built; a level that joins brings its gate."""


def validate_levels(dryad: Services, levels: Sequence[int] = ()) -> list[Validation]:
    """Make the checks of these levels, lowest first; none named: of all.

    Raises:
        InvalidRequest: a level that is not built.
    """
    unknown = sorted(set(levels) - set(LEVELS))
    if unknown:
        raise InvalidRequest(
            f"there is no level {unknown[0]} to validate", f"One of: {', '.join(map(str, LEVELS))}."
        )
    prepare_tenant(dryad.tenants, dryad.provide_tenant)
    return [
        validate(level, LEVELS[level], _CHECKS[level](dryad))
        for level in sorted(set(levels) or LEVELS)
    ]


def _foundation(dryad: Services) -> list[Check]:
    gate = FoundationGate(
        dryad.database, dryad.audit, dryad.tenants, dryad.tools, dryad.policies,
        dryad.settings.logs_dir,
    )  # fmt: skip
    return gate.checks()


def _execution(dryad: Services) -> list[Check]:
    directory = dryad.settings.home / "run"
    directory.mkdir(mode=0o700, exist_ok=True)

    def forget(document: str) -> None:
        dryad.librarian.forget(TENANT, document)

    gate = ExecutionGate(
        dryad.bare_sandbox, dryad.scribe, dryad.coordinator, forget, dryad.agents, directory
    )
    return gate.checks()


def _memory(dryad: Services) -> list[Check]:
    return MemoryGate(dryad.archivist, dryad.librarian, DEFAULT).checks()


def _orchestration(dryad: Services) -> list[Check]:
    gate = OrchestrationGate(
        dryad.database, dryad.orchestrator, dryad.policies, dryad.reviewers, dryad.cases,
        dryad.clock,
    )  # fmt: skip
    return gate.checks()


_CHECKS: dict[int, Callable[[Services], list[Check]]] = {
    0: _foundation,
    1: _execution,
    2: _memory,
    3: _orchestration,
}
