"""Every rung that works on this machine, and a table of what was attacked on which."""

from collections import Counter
from collections.abc import Generator, Mapping
from typing import cast

import pytest

from dryad.execution.sandbox import ladder, landlock
from dryad.execution.sandbox.bubblewrap import BubblewrapSandbox
from dryad.execution.sandbox.namespaces import NamespaceSandbox
from dryad.execution.sandbox.pool import Pool
from dryad.execution.sandbox.port import (
    GUARANTEES,
    Guarantee,
    RungName,
    Sandbox,
    SandboxRequest,
    SandboxResult,
    refuse_unless,
)
from tests import services
from tests.engine import docker_engine

DECLARED: Mapping[RungName, frozenset[Guarantee]] = {
    name: landlock.guaranteed() if name == "landlock" else frozenset(GUARANTEES)
    for name in ladder.RUNGS
}
"""What each rung promises, known before any is started: it is tried on that, and on no more."""

POOLED: Mapping[str, RungName] = {"bwrap, ahead": "bubblewrap", "ns, ahead": "namespaces"}
"""Rungs whose guests may wait in a pool, each with an interpreter that was started ahead."""

PLACES = (*ladder.RUNGS, *POOLED)

_held: Counter[tuple[str, str]] = Counter()


@pytest.fixture(scope="session")
def rungs() -> Generator[dict[RungName, ladder.RungStatus]]:
    """Every rung, examined once."""
    with docker_engine() as address, pytest.MonkeyPatch.context() as patch:
        if address:
            patch.setenv("DOCKER_HOST", address)
        yield {name: ladder.examine(name) for name in ladder.RUNGS}


class Ahead(Pool):
    """A pool of which every run finds a guest that waits."""

    async def run(self, request: SandboxRequest) -> SandboxResult:
        rung = cast("BubblewrapSandbox | NamespaceSandbox", self._rung)
        refuse_unless(self.guarantees, request.needs, rung=self.name)
        return await rung.carry_out(await rung.start(ahead=True), request)


@pytest.fixture(params=list(ladder.RUNGS))
def sandbox(request: pytest.FixtureRequest, rungs: dict[RungName, ladder.RungStatus]) -> Sandbox:
    """Each rung in turn; skipped with its reason where it does not work."""
    status = rungs[POOLED.get(request.param, request.param)]
    if status.sandbox is None:
        services.lack(status.name, status.reason)
    if request.param in POOLED:
        assert isinstance(status.sandbox, BubblewrapSandbox | NamespaceSandbox)
        return Ahead(status.sandbox)
    return status.sandbox


def record(guarantee: str, rung: str) -> None:
    """Count one attack that a rung withstood, in its guests or in those started ahead."""
    _held[guarantee, rung] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many attacks on which guarantee each rung withstood."""
    if not _held:
        return
    names = list(PLACES)
    terminalreporter.section("attacks withstood")
    terminalreporter.line(f"{'guarantee':16}" + "".join(f"{name:>14}" for name in names))
    for guarantee in dict.fromkeys(guarantee for guarantee, _ in _held):
        counts = "".join(f"{_held[guarantee, name]:>14}" for name in names)
        terminalreporter.line(f"{guarantee:16}{counts}")
    totals = "".join(f"{sum(n for k, n in _held.items() if k[1] == x):>14}" for x in names)
    terminalreporter.line(f"{'all':16}{totals}")
