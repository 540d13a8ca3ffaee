"""A program that is spoken to while it runs is as bounded as any other, and ends with the talk."""

import asyncio
import secrets

import pytest

from dryad.execution.sandbox.port import (
    Guarantee,
    Limits,
    Sandbox,
    SandboxRequest,
    Spoken,
)
from dryad.foundation.errors import Refused
from tests.dryad.execution.sandbox.hostile.world import processes_with
from tests.servers import wait_for

_ECHO = """
import os, sys
print(os.environ["WORD"], flush=True)
for line in sys.stdin:
    print(line.strip()[::-1], flush=True)
print("over", file=sys.stderr)
"""


async def heard(spoken: Spoken, *, lines: int) -> list[str]:
    """Return what it says next."""
    text = b""
    while text.count(b"\n") < lines and (chunk := await spoken.hear()):
        text += chunk
    return text.decode().splitlines()


async def test_what_is_said_is_heard_and_answered(sandbox: Sandbox):
    request = SandboxRequest(code=_ECHO, environment={"WORD": "hello"})
    async with sandbox.converse(request) as spoken:
        assert await heard(spoken, lines=1) == ["hello"]
        for word in ("one", "x" * 150_000):
            await spoken.tell(word.encode() + b"\n")
            assert await heard(spoken, lines=1) == [word[::-1]]


async def test_a_program_that_ends_is_heard_to_end(sandbox: Sandbox):
    async with sandbox.converse(SandboxRequest(code="print('one'); exit(3)")) as spoken:
        assert await heard(spoken, lines=2) == ["one"]
        assert await spoken.hear() == b""
        await spoken.hear()


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("import time; time.sleep(60)", Limits(wall_seconds=0.3)),
        ("while True: pass", Limits(wall_seconds=30, cpu_seconds=0.3)),
        ("b = bytearray(200_000_000)\nb[::4096] = b[::4096]", Limits(memory_bytes=64_000_000)),
    ],
    ids=["wall time", "CPU time", "memory"],
)
async def test_it_is_bounded_as_every_run(sandbox: Sandbox, code: str, limits: Limits):
    async with sandbox.converse(SandboxRequest(code=code, limits=limits)) as spoken:
        assert await spoken.hear() == b""


async def test_it_says_no_more_than_it_may(sandbox: Sandbox):
    code = "import sys\nsys.stdout.write('x' * 1_000_000)"
    request = SandboxRequest(code=code, limits=Limits(output_bytes=50_000))
    async with sandbox.converse(request) as spoken:
        size = 0
        while chunk := await spoken.hear():
            size += len(chunk)
    assert size == 50_000


async def test_one_that_does_not_listen_ends_with_the_talk_as_all_it_started(sandbox: Sandbox):
    mark = f"mark-{secrets.token_hex(8)}"
    code = f"""
import subprocess, time
subprocess.Popen(["sh", "-c", "sleep 600; : {mark}"], start_new_session=True)
print("there", flush=True)
time.sleep(600)
"""
    async with sandbox.converse(SandboxRequest(code=code)) as spoken:
        assert await heard(spoken, lines=1) == ["there"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await spoken.tell(b"x" * 3_000_000)
        wait_for("the daemon", lambda: processes_with(mark), seconds=10)
    wait_for("an end", lambda: not processes_with(mark), seconds=10)


async def test_what_a_rung_does_not_guarantee_is_refused_here_too(sandbox: Sandbox):
    wants: frozenset[Guarantee] = frozenset({"network", "everything"})  # type: ignore[arg-type]
    with pytest.raises(Refused, match="does not guarantee everything"):
        async with sandbox.converse(SandboxRequest(code="pass", needs=wants)):
            raise AssertionError
