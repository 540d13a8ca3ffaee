"""What the validation of level 1 proves on a running installation."""

import asyncio
import json
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dryad.execution.agents import Agents
from dryad.execution.coordinator import Asker, Coordinator
from dryad.execution.sandbox.port import GUARANTEES, Guarantee, Limits, Sandbox, SandboxRequest
from dryad.execution.scribe import Scribe
from dryad.foundation.validation import AGENT, TENANT, Check

_ESCAPES = """
import json, os, socket
canary, escaped, port, pid = {arguments!r}
def secret():
    if "DRYAD_HOME" not in os.environ: raise OSError
    return 1
tries = {{
    "host_files": lambda: open(canary).read(),
    "host_writes": lambda: open(escaped, "w").write("x"),
    "network": lambda: socket.create_connection(("127.0.0.1", int(port)), 2),
    "host_processes": lambda: os.kill(int(pid), 0),
    "secrets": secret,
}}
succeeded = []
for name, act in tries.items():
    try:
        act()
    except OSError:
        continue
    succeeded.append(name)
print(json.dumps(succeeded))
"""


@dataclass(frozen=True)
class ExecutionGate:
    """The checks of level 1.

    Attributes:
        sandbox: Gives the rung the installation chose.
        scribe: Writes notes.
        coordinator: Keeps them and finds them again.
        forget: Takes a note away, by its reference.
        agents: Who there is.
        directory: A private directory of the installation, which no sandboxed code may touch.
    """

    sandbox: Callable[[], Sandbox]
    scribe: Scribe
    coordinator: Coordinator
    forget: Callable[[str], None]
    agents: Agents
    directory: Path

    def checks(self) -> list[Check]:
        """Return them."""
        return [
            Check("the sandbox holds what its rung declares", self._held, "dryad sandbox status"),
            Check("what the Scribe notes is found", self._noted, "dryad memory search"),
            Check("an agent is found by what it can do", self._discovered, "dryad agents"),
        ]

    def _held(self) -> str:
        sandbox = self.sandbox()
        broken = sorted(set(self._escapes(sandbox)) & sandbox.guarantees)
        said = "; ".join(f"{name} ({GUARANTEES[name]})" for name in broken)
        return f"the rung {sandbox.name} does not hold {said}" if broken else ""

    def _escapes(self, sandbox: Sandbox) -> Sequence[Guarantee]:
        """Let code try to get out, each way that can be told from here."""
        mark = secrets.token_hex(8)
        canary, escaped = self.directory / f"canary-{mark}", self.directory / f"escaped-{mark}"
        canary.write_text(mark)
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            port = listener.getsockname()[1]
            arguments = [str(canary), str(escaped), str(port), str(os.getpid())]
            code = _ESCAPES.format(arguments=arguments)
            limits = Limits(wall_seconds=20, cpu_seconds=20, memory_bytes=256_000_000)
            result = asyncio.run(sandbox.run(SandboxRequest(code=code, limits=limits)))
        canary.unlink()
        appeared = escaped.exists()
        escaped.unlink(missing_ok=True)
        if not result.ok:
            raise RuntimeError(f"the sandboxed code did not run: {result.stderr[-200:]}")
        claimed: list[Any] = json.loads(result.stdout)
        return [*claimed, "host_writes"] if appeared else claimed

    def _noted(self) -> str:
        word = f"validation{secrets.token_hex(6)}"
        asker = Asker(TENANT, AGENT)
        _, stored = self.scribe.note(
            asker, f"The lighthouse of {word} was painted.", kind="long_term", origin="validation"
        )
        try:
            found = self.coordinator.search(asker, "long_term", word, limit=3)
        finally:
            if stored.id is not None:
                self.forget(stored.id)
        known = any(hit.reference == stored.id for hit in found)
        return "" if known else "the note just made is not found"

    def _discovered(self) -> str:
        everybody = self.agents.list(TENANT)
        if not everybody:
            return "the tenant of the validation has no agents"
        known = everybody[0]
        best = max(known.capabilities, key=lambda name: known.capabilities[name])
        found = {agent.id for agent in self.agents.discover(TENANT, [best])}
        return "" if known.id in found else f"{known.id} is not found by its capability {best}"
