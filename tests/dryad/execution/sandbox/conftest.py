"""Every rung that works on this machine, and a way to note what was attacked on which."""

from collections.abc import Generator, Mapping
from typing import Protocol, cast

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
from tests import services, withstood
from tests.engine import docker_engine

DECLARED: Mapping[RungName, frozenset[Guarantee]] = {
    name: landlock.guaranteed() if name == "landlock" else frozenset(GUARANTEES)
    for name in ladder.RUNGS
}
"""What each rung promises, known before any is started: it is tried on that, and on no more."""

POOLED: Mapping[str, RungName] = {"bwrap, ahead": "bubblewrap", "ns, ahead": "namespaces"}
"""Rungs whose guests may wait in a pool, each with an interpreter that was started ahead."""

PLACES = (*ladder.RUNGS, *POOLED)


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


class Record(Protocol):
    """Counts one attack that a rung withstood, in its guests or in those started ahead."""

    def __call__(self, guarantee: str, place: str, /) -> None: ...


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Note what the test attacked; see `tests/withstood.py`."""
    return lambda guarantee, place: withstood.record(request.node, guarantee, place)
