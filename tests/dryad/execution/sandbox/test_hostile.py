"""Attacks: each names the guarantee it attacks and must fail on every rung that declares it."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Generator

import pytest

from dryad.execution.sandbox import ladder
from dryad.execution.sandbox.port import (
    GUARANTEES,
    RungName,
    Sandbox,
    SandboxRequest,
    SandboxResult,
)
from tests.dryad.execution.sandbox.conftest import DECLARED, PLACES, POOLED, Record
from tests.dryad.execution.sandbox.hostile.attack import Attack
from tests.dryad.execution.sandbox.hostile.bounds import BOUNDS
from tests.dryad.execution.sandbox.hostile.calls import KERNEL
from tests.dryad.execution.sandbox.hostile.outward import OUTWARD
from tests.dryad.execution.sandbox.hostile.world import World, world

ATTACKS = [*OUTWARD, *KERNEL, *BOUNDS]
CASES = [
    (place, attack)
    for place in PLACES
    for attack in ATTACKS
    if attack.guarantee in DECLARED[POOLED.get(place, place)]
]
"""A rung is attacked on every guarantee it declares, and on no other."""

_MAY_TRY = {"anyone", "root"} if os.geteuid() == 0 else {"anyone"}
OUTSIDE = [attack for attack in ATTACKS if attack.outside in _MAY_TRY]
AT_ONCE = 4

_BROKEN = re.compile(r"^(\w*(Syntax|Name|Attribute|Import|Type|Key|Index)Error|ModuleNotFound\w*)")
"""An attack that ends so attacked nothing."""


def _name(case: object) -> str:
    """Name a parameter of a test: an attack, or else the rung it is tried on."""
    if isinstance(case, Attack):
        return f"{case.guarantee}-{case.name}".replace(" ", "_")
    return str(case)


class Trials:
    """All attacks chosen for a rung, tried a few at once when the first result is asked for."""

    def __init__(self, planted: World, chosen: dict[str, list[Attack]]) -> None:
        self.planted = planted
        self._chosen = chosen
        self._results: dict[str, dict[str, SandboxResult | BaseException]] = {}

    def result(self, place: str, sandbox: Sandbox, attack: Attack) -> SandboxResult:
        if place not in self._results:
            self._results[place] = asyncio.run(self._try_all(sandbox, self._chosen[place]))
        result = self._results[place][attack.name]
        if isinstance(result, BaseException):
            raise result
        return result

    async def _try_all(
        self, sandbox: Sandbox, attacks: list[Attack]
    ) -> dict[str, SandboxResult | BaseException]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(attack: Attack) -> SandboxResult:
            request = SandboxRequest(
                code=attack.script,
                language=attack.language,
                files={"world.json": self.planted.described()},
                limits=attack.limits,
                needs=frozenset({attack.guarantee}),
            )
            async with turns:
                return await sandbox.run(request)

        results = await asyncio.gather(*map(one, attacks), return_exceptions=True)
        return {attack.name: result for attack, result in zip(attacks, results, strict=True)}


@pytest.fixture(scope="module")
def trials(request: pytest.FixtureRequest) -> Generator[Trials]:
    chosen: dict[str, list[Attack]] = {place: [] for place in PLACES}
    for item in request.session.items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if {"attack", "sandbox"} <= set(parameters):
            chosen[parameters["sandbox"]].append(parameters["attack"])
    with world() as planted:
        yield Trials(planted, chosen)


@pytest.mark.parametrize(("sandbox", "attack"), CASES, ids=_name, indirect=["sandbox"])
def test_an_attack_fails(
    sandbox: Sandbox, attack: Attack, trials: Trials, request: pytest.FixtureRequest, record: Record
):
    place = request.node.callspec.params["sandbox"]
    result = trials.result(place, sandbox, attack)
    last = result.stderr.strip().splitlines()[-1:] or [""]
    assert not _BROKEN.match(last[0]), result.stderr
    assert "ESCAPED" not in result.stdout, result
    seen = [result.stdout, result.stderr, *map(repr, result.files.values())]
    assert not any(trials.planted.token in text for text in seen), result
    if attack.expect is not None:
        assert attack.expect in result.violations, result
    if attack.check is not None:
        attack.check(result)
    trials.planted.assert_left_alone()
    record(attack.guarantee, place)


@pytest.mark.parametrize("attack", OUTSIDE, ids=_name)
def test_the_same_attack_gets_through_without_a_sandbox(attack: Attack, tmp_path):
    with world() as planted:
        (tmp_path / "world.json").write_bytes(planted.described())
        (tmp_path / "attack.py").write_text(attack.script)
        done = subprocess.run(
            [sys.executable, "attack.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            close_fds=False,
            check=False,
        )
    assert "ESCAPED" in done.stdout, done


def test_every_guarantee_is_attacked_and_no_rung_declares_another(
    rungs: dict[RungName, ladder.RungStatus],
):
    attacked = {attack.guarantee for attack in ATTACKS} | {"nothing_left", "supervisor"}
    assert attacked == set(GUARANTEES)
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    working = [status.sandbox for status in rungs.values() if status.sandbox is not None]
    assert all(sandbox.guarantees == DECLARED[sandbox.name] for sandbox in working)


def test_bubblewrap_or_namespaces_work_here(rungs: dict[RungName, ladder.RungStatus]):
    reasons = {name: rungs[name].reason for name in ("bubblewrap", "namespaces")}
    assert "" in reasons.values(), reasons
