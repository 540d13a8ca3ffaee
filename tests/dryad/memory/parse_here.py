"""The parsers of ingestion in a real sandbox of this machine."""

from collections.abc import Mapping

from dryad.execution.sandbox import ladder
from dryad.execution.sandbox.port import Limits, SandboxRequest, SandboxResult
from dryad.memory.parsing.parsers import Parsers

LIMITS = Limits(wall_seconds=120, cpu_seconds=60)
"""Generous: the machine is shared."""


async def run_code(code: str, files: Mapping[str, bytes]) -> SandboxResult:
    """Run a program in the strongest sandbox there is."""
    return await ladder.choose("auto").run(SandboxRequest(code=code, files=files, limits=LIMITS))


PARSERS = Parsers(run_code)
