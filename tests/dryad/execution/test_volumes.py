"""A stateful tool finds what its session left, nobody else does, and in the end nothing is left."""

import asyncio
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dryad.execution.toolbox import Errand, Toolbox
from dryad.execution.volumes import Volumes
from dryad.foundation.database import Database
from dryad.foundation.errors import Corrupt, InvalidRequest, LimitExceeded, NotFound, Refused
from dryad.foundation.ids import TaskId, TenantId
from dryad.foundation.tools import Permit, ToolSpec
from tests.dryad.execution.conftest import ACME, Desk, Policy, run_here

COUNT = ToolSpec(
    "count", "1", "Count calls.", "reversible", kind="script",
    config={"stateful": True, "code": (
        "import json, os\n"
        "given = json.load(open('arguments.json'))\n"
        "os.makedirs('state', exist_ok=True)\n"
        "here = 'state/' + given.get('name', 'n')\n"
        "n = int(open(here).read()) + 1 if os.path.exists(here) else 1\n"
        "open(here, 'w').write(str(n))\n"
        "if 'fill' in given: open('state/big', 'w').write('x' * given['fill'])\n"
        "if given.get('fail'): raise SystemExit(3)\n"
        "print(json.dumps({'n': n, 'there': sorted(os.listdir('state'))}))\n"
    )},
)  # fmt: skip
ERRAND = Errand(ACME, TaskId("task-1"), "ada")


class Present:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Present:
    return Present()


@pytest.fixture
def volumes(desk: Desk, tmp_path: Path, clock: Present) -> Volumes:
    return Volumes(desk.database, tmp_path / "volumes", most_bytes=1000, clock=clock)


@pytest.fixture
def toolbox(desk: Desk, volumes: Volumes) -> Toolbox:
    return Toolbox(
        find=desk.shelf.find,
        shelve=desk.shelf.shelve,
        run_code=run_here,
        workspaces=desk.workspaces,
        mailbox=desk.workspaces,
        volumes=volumes,
    )


async def call(toolbox: Toolbox, errand: Errand = ERRAND, **arguments: Any) -> Any:
    permit = Permit(COUNT, arguments, "reversible", needs_approval=False)
    outcome = await toolbox.run("step", permit, errand)
    return outcome.failed or outcome.value["n"]


async def test_a_session_goes_on_where_it_was_and_others_know_nothing(
    toolbox: Toolbox, volumes: Volumes
):
    assert [await call(toolbox) for _ in range(3)] == [1, 2, 3]
    for other in (replace(ERRAND, agent="bob"), replace(ERRAND, task=TaskId("task-2"))):
        assert await call(toolbox, other) == 1
    found = {volume.session: volume for volume in volumes.list(ACME)}
    mine = found[ERRAND.session("count")]
    assert (mine.status, mine.size_bytes, mine.tool, len(found)) == ("active", 1, "count", 3)


async def test_a_call_that_fails_changes_nothing(toolbox: Toolbox):
    assert await call(toolbox) == 1
    assert "ended with 3" in await call(toolbox, fail=True)
    with pytest.raises(LimitExceeded, match="would keep 1101 bytes"):
        await call(toolbox, fill=1100)
    assert await call(toolbox) == 2


async def test_calls_of_one_session_come_one_after_the_other(toolbox: Toolbox):
    found = await asyncio.gather(*(call(toolbox) for _ in range(5)))
    assert sorted(found) == [1, 2, 3, 4, 5]


async def test_a_file_that_is_removed_is_gone(volumes: Volumes):
    async with volumes.use(ERRAND, "t") as kept:
        kept.change({"a": b"1", "b": b"2"}, [])
    async with volumes.use(ERRAND, "t") as kept:
        kept.change({"b": b"3"}, ["a"])
    async with volumes.use(ERRAND, "t") as kept:
        assert kept.files == {"b": b"3"}


async def test_only_a_grant_that_says_so_covers_a_stateful_tool(desk: Desk):
    desk.tools.register(ACME, COUNT)

    def ask() -> Permit:
        return desk.tools.permit(ACME, "messenger", "count", {}, policy=Policy())

    desk.tools.grant(ACME, "messenger", "count")
    with pytest.raises(Refused, match="does not let count keep anything"):
        ask()
    desk.tools.grant(ACME, "messenger", "count", conditions={"stateful": True})
    assert ask().spec.version == "1"
    with pytest.raises(InvalidRequest, match="true or false"):
        desk.tools.grant(ACME, "messenger", "count", conditions={"stateful": "yes"})
    with pytest.raises(InvalidRequest, match="not idempotent"):
        desk.tools.register(ACME, replace(COUNT, version="2", idempotent=True))


async def test_without_a_place_a_stateful_tool_is_refused(desk: Desk):
    with pytest.raises(Refused, match="no place for it"):
        await call(desk.toolbox)


# -- how a volume ends


def stored(volumes: Volumes) -> list[Path]:
    return sorted(path for path in volumes._root.rglob("*") if path.suffix in {".zip", ".new"})


async def test_a_volume_is_orphaned_sanitised_deleted_and_forgotten(
    toolbox: Toolbox, volumes: Volumes, clock: Present
):
    await call(toolbox)
    over: set[str] = set()

    def tidy() -> str | None:
        volumes.tidy(lambda task: task in over, grace=timedelta(hours=1), kept=timedelta(days=30))
        found = volumes.list(ACME)
        return found[0].status if found else None

    assert tidy() == "active"
    over.add("task-1")
    assert (tidy(), tidy()) == ("orphaned", "orphaned")
    assert stored(volumes)
    clock.now += timedelta(hours=2)
    assert tidy() == "sanitised"
    assert stored(volumes) == []
    assert tidy() == "deleted"
    (volume,) = volumes.list(ACME, status="deleted")
    assert (volume.size_bytes, volume.sanitised, volume.deleted) == (0, clock.now, clock.now)
    clock.now += timedelta(days=31)
    assert tidy() is None
    assert await call(toolbox) == 1, "a session that comes back begins anew"
    assert volumes.list(ACME)[0].status == "active"


async def test_what_was_there_is_overwritten_on_the_disk(volumes: Volumes):
    """Both what a call replaced and what is sanitised: seen through a file that was held open."""
    async with volumes.use(ERRAND, "t") as kept:
        kept.change({"a": b"planted-one"}, [])
    (file,) = stored(volumes)
    with file.open("rb") as first:
        async with volumes.use(ERRAND, "t") as kept:
            kept.change({"a": b"planted-two"}, [])
        assert set(first.read()) == {0}
    with file.open("rb") as second:
        assert b"planted-two" in second.read()
        second.seek(0)
        volumes.sanitise(ACME, ERRAND.session("t"))
        assert set(second.read()) == {0}
    assert stored(volumes) == []


async def test_a_volume_is_sanitised_by_its_own_tenant_when_nobody_uses_it(volumes: Volumes):
    async with volumes.use(ERRAND, "t") as kept:
        kept.change({"a": b"1"}, [])
    session = ERRAND.session("t")
    for tenant, name in ((TenantId("globex"), session), (ACME, "none")):
        with pytest.raises(NotFound):
            volumes.sanitise(tenant, name)
    assert volumes.sanitise(ACME, session).status == "sanitised"
    async with volumes.use(ERRAND, "t") as kept:
        assert kept.files == {}


async def test_a_damaged_snapshot_is_told(volumes: Volumes):
    async with volumes.use(ERRAND, "t") as kept:
        kept.change({"a": b"1"}, [])
    (file,) = stored(volumes)
    file.write_bytes(b"not a snapshot")
    with pytest.raises(Corrupt, match="damaged"):
        async with volumes.use(ERRAND, "t"):
            pass


def _use_and_die(url: str, root: str) -> None:
    async def hold() -> None:
        async with Volumes(Database(url), Path(root), most_bytes=1000).use(ERRAND, "t") as kept:
            kept.change({"a": b"half"}, [])
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(hold())


async def test_who_dies_in_a_call_lets_go_and_changes_nothing(volumes: Volumes, database_url: str):
    async with volumes.use(ERRAND, "t") as kept:
        kept.change({"a": b"1"}, [])
    with ThreadPoolExecutor(1) as pool:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_use_and_die, args=(database_url, str(volumes._root)))
        await asyncio.get_running_loop().run_in_executor(pool, process.start)
        await asyncio.get_running_loop().run_in_executor(pool, process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    async with volumes.use(ERRAND, "t") as kept:
        assert kept.files == {"a": b"1"}
