"""Choose a sandbox: the strongest rung that works here, or a refusal that says why none does."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dryad.execution.sandbox.bubblewrap import BubblewrapSandbox
from dryad.execution.sandbox.docker import DockerSandbox
from dryad.execution.sandbox.landlock import LandlockSandbox
from dryad.execution.sandbox.namespaces import NamespaceSandbox
from dryad.execution.sandbox.port import Limits, RungName, Sandbox, SandboxRequest
from dryad.foundation.errors import Unavailable

RUNGS: Mapping[RungName, Callable[[], Sandbox]] = MappingProxyType(
    {
        "docker": DockerSandbox,
        "bubblewrap": BubblewrapSandbox,
        "namespaces": NamespaceSandbox,
        "landlock": LandlockSandbox,
    }
)
"""Every rung, strongest first."""

_PROBE = SandboxRequest(
    command=("/bin/sh", "-c", "echo holds"), limits=Limits(wall_seconds=10, cpu_seconds=5)
)


@dataclass(frozen=True, slots=True)
class RungStatus:
    """Whether a rung works on this machine: its sandbox, or the reason why not."""

    name: RungName
    sandbox: Sandbox | None
    reason: str


def choose(rung: RungName | Literal["auto"] = "auto") -> Sandbox:
    """Return the named rung, or the strongest that works, each proven by a run.

    Raises:
        Unavailable: the named rung does not work, or none does; each rung's reason is given.
    """
    failed: list[RungStatus] = []
    for name in RUNGS if rung == "auto" else (rung,):
        status = examine(name)
        if status.sandbox is not None:
            return status.sandbox
        failed.append(status)
    reasons = "; ".join(f"{status.name}: {status.reason}" for status in failed)
    raise Unavailable(
        f"no sandbox works here, so no code is run ({reasons})",
        "Install the package `bubblewrap`, or allow user namespaces; see `dryad sandbox status`.",
    )


def survey() -> list[RungStatus]:
    """Examine every rung, strongest first."""
    return [examine(name) for name in RUNGS]


def examine(name: RungName) -> RungStatus:
    """Prove one rung by a run; blocks for some 50 ms, from any thread, in or out of a loop."""
    try:
        sandbox = RUNGS[name]()
        with ThreadPoolExecutor(1) as thread:
            result = thread.submit(lambda: asyncio.run(sandbox.run(_PROBE))).result()
    except Unavailable as error:
        return RungStatus(name, None, error.message)
    if result.stdout != "holds\n":
        return RungStatus(name, None, f"the probe ended with {result.exit_code}: {result.stderr}")
    return RungStatus(name, sandbox, "")
