"""How dear a sandboxed run is, in starts of a bare interpreter: `python -m benchmarks.sandbox`.

Both are measured in turn, in the same process, so that a busy machine slows them alike. Wall time
is what a caller waits; CPU time is what the machine pays, all processes together.
"""

import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from dryad.execution.sandbox import ladder
from dryad.execution.sandbox.bubblewrap import BubblewrapSandbox
from dryad.execution.sandbox.namespaces import NamespaceSandbox
from dryad.execution.sandbox.pool import Pool
from dryad.execution.sandbox.port import SandboxRequest

ROUNDS = 40
AT_ONCE = 20
NOTHING = SandboxRequest(code="pass")


async def bare() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)  # noqa: ASYNC221 - it is the measure


async def measured(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return wall and CPU milliseconds of one call, children included."""
    wall, cpu = time.perf_counter(), _cpu()
    await work()
    return (time.perf_counter() - wall) * 1e3, (_cpu() - cpu) * 1e3


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


async def compare(status: ladder.RungStatus) -> None:
    sandbox = status.sandbox
    if sandbox is None:
        print(f"{status.name:11} not here: {status.reason}")
        return
    await sandbox.run(NOTHING)
    pairs = [
        (await measured(bare), await measured(lambda: sandbox.run(NOTHING))) for _ in range(ROUNDS)
    ]
    for kind, label in ((0, "wall"), (1, "CPU")):
        plain = statistics.median(first[kind] for first, _ in pairs)
        boxed = statistics.median(second[kind] for _, second in pairs)
        ratio = f"{boxed:.1f} ms, bare {plain:.1f} ms: {boxed / plain:.2f}x"
        print(f"{status.name:11} cold {label:4} {ratio}")
    if isinstance(sandbox, BubblewrapSandbox | NamespaceSandbox):
        await compare_pooled(Pool(sandbox, size=1))
    start = time.perf_counter()
    await asyncio.gather(*(sandbox.run(NOTHING) for _ in range(AT_ONCE)))
    each = (time.perf_counter() - start) / AT_ONCE * 1e3
    print(f"{status.name:11} {AT_ONCE} at once: {each:.1f} ms each")


async def compare_pooled(pool: Pool) -> None:
    """Measure a run whose guest waits already; starting the next one is not counted."""
    pairs: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        await pool.warm()
        pairs.append(((await measured(bare))[0], (await measured(lambda: pool.run(NOTHING)))[0]))
    await pool.close()
    plain, boxed = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
    print(f"{pool.name:11} pooled wall {boxed:.1f} ms, bare {plain:.1f} ms: {boxed / plain:.2f}x")


async def main() -> None:
    for name in ladder.RUNGS:
        await compare(await asyncio.to_thread(ladder.examine, name))


if __name__ == "__main__":
    asyncio.run(main())
